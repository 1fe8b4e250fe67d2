"""What is done with embeddings: label cells, and say how sure that is."""

"""The model's vocabulary of genes and the resolver of gene names.

The order of a vocabulary is part of its checkpoint: it is never sorted, and its sha256 travels
with every output. Needs numpy alone.
"""

from __future__ import annotations

from aidocell.genes.resolver import ROUTES, Conflict, Resolution, Resolver
from aidocell.genes.species import looks_like_other_species, species_of
from aidocell.genes.vocabulary import Vocabulary, vocabulary_of

__all__ = [
    "ROUTES",
    "Conflict",
    "Resolution",
    "Resolver",
    "Vocabulary",
    "looks_like_other_species",
    "species_of",
    "vocabulary_of",
]

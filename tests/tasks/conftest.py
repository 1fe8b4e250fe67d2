import numpy as np
import pytest
from scipy import sparse


class Toy:
    """Three classes that differ in five genes each, and embeddings that show it."""

    def __init__(self, cells=60, *, seed=0):
        rng = np.random.default_rng(seed)
        self.labels = np.array(["B", "NK", "T"] * (cells // 3), dtype=object)
        rates = np.full((cells, 40), 0.5)
        for i, name in enumerate(["B", "NK", "T"]):
            rates[self.labels == name, 5 * i : 5 * i + 5] = 20
        self.counts = sparse.csr_matrix(rng.poisson(rates).astype(np.int32))
        projection = np.random.default_rng(99).normal(size=(40, 8))  # the same for every seed
        self.embeddings = (self.counts @ projection).astype(np.float32)
        self.cells = np.array([f"cell{i:03d}" for i in rng.permutation(cells)], dtype=object)
        self.donors = np.array([f"d{i % 4}" for i in range(cells)], dtype=object)


PROVENANCE = {
    "stage": "embed",
    "model": {"id": "some/model", "sha256": "1" * 64},
    "genes_sha256": "2" * 64,
    "counts_digest": "3" * 64,
    "options": {"pooling": "mean", "precision": "auto", "attention": "auto"},
    "resolved": {"device": "cpu", "precision": "float32", "attention": "sdpa"},
}


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture(scope="session")
def make_toy():
    return Toy


@pytest.fixture
def provenance():
    return {**PROVENANCE}

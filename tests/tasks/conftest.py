from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

PBMC = Path(__file__).parents[2] / "resources" / "pbmc3k.h5ad"


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


@pytest.fixture(scope="session")
def blood():
    """Labels, names and 20 principal components of 1,500 blood cells in random order."""
    cells = ad.read_h5ad(PBMC)
    cells = cells[np.random.default_rng(0).permutation(cells.n_obs)[:1500]]
    logged = np.log1p(cells.X / cells.X.sum(axis=1) * 1e4)
    embeddings = PCA(20, random_state=0).fit_transform(np.asarray(logged.todense()))
    labels = cells.obs["cell_type"].astype(str).to_numpy()
    return labels, cells.obs_names.to_numpy(), embeddings.astype(np.float32)


@pytest.fixture
def provenance():
    return {**PROVENANCE}

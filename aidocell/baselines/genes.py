"""From raw counts to what the gene baselines work on."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

__all__ = ["COMPONENTS", "log_normalise", "new_pca"]

COMPONENTS = 50


def log_normalise(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log1p of counts per 10,000.

    Parameters
    ----------
    counts
        Raw counts, shape ``(cells, genes)``.

    Returns
    -------
    values
        Same shape, float64, sparse; a cell without counts stays zero.
    """
    counts = sparse.csr_matrix(counts)
    totals = np.maximum(np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel(), 1.0)
    per_entry = np.repeat(1e4 / totals, np.diff(counts.indptr))
    return sparse.csr_matrix(
        (np.log1p(counts.data * per_entry), counts.indices, counts.indptr), shape=counts.shape
    )


def new_pca(shape: tuple[int, int], *, seed: int) -> PCA:
    """50 principal components, or one fewer than the smaller side of a matrix of this shape.

    ARPACK centres a sparse matrix without filling it, so memory stays that of the counts.
    """
    components = max(1, min(COMPONENTS, min(shape) - 1))
    return PCA(components, svd_solver="arpack", random_state=seed)

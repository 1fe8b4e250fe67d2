"""Library size, log, PCA, nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline, make_pipeline

from aidocell.baselines.genes import log_normalise, new_pca
from aidocell.baselines.knn import new_neighbours

__all__ = ["fit", "predict_proba"]


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    Genes are not scaled: distances would then be ruled by genes seen in a handful of cells. The
    order of the cells matters where several lie equally far away, and by ARPACK's tolerance.
    """
    pipeline = make_pipeline(new_pca(X.shape, seed=seed), new_neighbours(len(y)))
    return pipeline.fit(log_normalise(X), y)


def predict_proba(fitted: Pipeline, X: sparse.csr_matrix) -> np.ndarray:
    """Shares of the neighbours, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(log_normalise(X))

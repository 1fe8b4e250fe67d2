"""Library size, log, most variable genes, PCA, nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.sparsefuncs import mean_variance_axis

from aidocell.baselines.genes import log_normalise, new_pca
from aidocell.baselines.knn import new_neighbours

__all__ = ["VARIABLE_GENES", "fit", "predict_proba"]

VARIABLE_GENES = 2_000


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    The 2,000 genes of largest log-normalised variance are chosen from these cells. They are not
    scaled: distances would then be ruled by genes seen in a handful of cells. The order of the
    cells matters where several lie equally far away, and by ARPACK's tolerance.
    """
    genes = min(VARIABLE_GENES, X.shape[1])
    pipeline = make_pipeline(
        SelectKBest(_variance, k=genes),
        new_pca((X.shape[0], genes), seed=seed),
        new_neighbours(len(y)),
    )
    return pipeline.fit(log_normalise(X), y)


def predict_proba(fitted: Pipeline, X: sparse.csr_matrix) -> np.ndarray:
    """Shares of the neighbours, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(log_normalise(X))


def _variance(values: sparse.csr_matrix, y: np.ndarray) -> np.ndarray:
    """Variance of each gene; the labels are not looked at."""
    return mean_variance_axis(values, axis=0)[1]

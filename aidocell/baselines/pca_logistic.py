"""Library size, log, gene-wise scaling, PCA, logistic regression.

The pipeline without a trained representation that was reported to match or beat single-cell
foundation models (Souza & Mehta 2026, arXiv 2602.16696). The number of components and C are
this project's choice.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from aidocell.baselines.genes import log_normalise, new_pca
from aidocell.baselines.logistic import MAX_ITERATIONS

__all__ = ["fit", "predict_proba"]


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    Genes are divided by their standard deviation while sparse; PCA takes the mean off without
    filling the matrix. The order of the cells changes the result by no more than the tolerance
    of the solvers.
    """
    scaler = StandardScaler(with_mean=False)
    model = LogisticRegression(max_iter=MAX_ITERATIONS, random_state=seed)
    return make_pipeline(scaler, new_pca(X.shape, seed=seed), model).fit(log_normalise(X), y)


def predict_proba(fitted: Pipeline, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(log_normalise(X))

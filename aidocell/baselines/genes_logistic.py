"""Logistic regression on all log-normalised genes."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from aidocell.baselines.genes import log_normalise
from aidocell.baselines.logistic import MAX_ITERATIONS

__all__ = ["fit", "predict_proba"]


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> LogisticRegression:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    log1p of counts per 10,000, every gene, not standardised, C = 1; the matrix stays sparse. The
    order of the cells changes the result by no more than the solver's tolerance.
    """
    return LogisticRegression(max_iter=MAX_ITERATIONS, random_state=seed).fit(log_normalise(X), y)


def predict_proba(fitted: LogisticRegression, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(log_normalise(X))

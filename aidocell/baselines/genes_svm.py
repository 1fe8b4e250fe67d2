"""Linear support vector machine on all log-normalised genes."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.svm import LinearSVC

from aidocell.baselines.genes import log_normalise
from aidocell.baselines.logistic import MAX_ITERATIONS

__all__ = ["fit", "predict_proba"]


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> LinearSVC:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    log1p of counts per 10,000, every gene, not standardised; squared hinge loss, one class against
    the rest, C = 1; the matrix stays sparse. Seed and order of the cells change the result by no
    more than the solver's tolerance.
    """
    return LinearSVC(max_iter=MAX_ITERATIONS, random_state=seed).fit(log_normalise(X), y)


def predict_proba(fitted: LinearSVC, X: sparse.csr_matrix) -> np.ndarray:
    """Softmax of the decision values, shape ``(cells, classes)``, as ``fitted.classes_``.

    The most probable class is the one that the machine decides for. The values themselves are
    not calibrated: a support vector machine knows distances from its boundaries, not chances.
    """
    decision = fitted.decision_function(log_normalise(X))
    if decision.ndim == 1:  # of two classes there is one value, that of the second
        decision = np.column_stack([-decision, decision])
    return softmax(decision, axis=1)

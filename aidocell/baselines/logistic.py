"""Standardise, then logistic regression, on embeddings."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from aidocell.baselines.scaler import scaler_arrays, scaler_from_arrays

__all__ = ["MAX_ITERATIONS", "fit", "from_arrays", "predict_proba", "to_arrays"]

MAX_ITERATIONS = 10_000  # scikit-learn's 100 stops short of the optimum on real embeddings


def fit(X: np.ndarray, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on embeddings, shape ``(cells, hidden)``, and their labels.

    L2 penalty with C = 1, no class weights. The order of the cells changes the result by no more
    than the solver's tolerance.
    """
    model = LogisticRegression(max_iter=MAX_ITERATIONS, random_state=seed)
    return make_pipeline(StandardScaler(), model).fit(X.astype(np.float64), y)


def predict_proba(fitted: Pipeline, X: np.ndarray) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(X.astype(np.float64))


def to_arrays(fitted: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What has to be kept to apply the classifier elsewhere; the training cells are not."""
    scaler, model = fitted
    return {**scaler_arrays(scaler), "coef": model.coef_, "intercept": model.intercept_}


def from_arrays(arrays: dict[str, np.ndarray], classes: np.ndarray) -> Pipeline:
    """The fitted classifier again.

    Raises
    ------
    ValueError
        Arrays that do not fit each other or the classes.
    """
    rows = 1 if len(classes) == 2 else len(classes)
    scaler = scaler_from_arrays(arrays)
    if arrays["coef"].shape != (rows, scaler.n_features_in_):
        raise ValueError(f"coef has shape {arrays['coef'].shape}")
    if arrays["intercept"].shape != (rows,):
        raise ValueError(f"intercept has shape {arrays['intercept'].shape}")
    model = LogisticRegression()
    model.classes_, model.n_features_in_ = classes, scaler.n_features_in_
    model.coef_, model.intercept_ = arrays["coef"], arrays["intercept"]
    return make_pipeline(scaler, model)

"""Standardise, then a small multilayer perceptron, on embeddings."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from aidocell.baselines.order import canonical_order
from aidocell.baselines.scaler import scaler_arrays, scaler_from_arrays

__all__ = ["HIDDEN", "MAX_EPOCHS", "fit", "from_arrays", "predict_proba", "to_arrays"]

HIDDEN = 100  # scikit-learn's default
MAX_EPOCHS = 1_000  # scikit-learn's 200 stops short on a few dozen cells


def fit(X: np.ndarray, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on embeddings, shape ``(cells, hidden)``, and their labels.

    One hidden layer of 100 ReLU, Adam with scikit-learn's defaults, until the training loss no
    longer falls; no cells are set apart. The cells are sorted first, so that their order does not
    decide who shares a batch.
    """
    order = canonical_order(X, y)
    model = MLPClassifier((HIDDEN,), max_iter=MAX_EPOCHS, random_state=seed)
    pipeline = make_pipeline(StandardScaler(), model)
    return pipeline.fit(np.asarray(X)[order].astype(np.float64), np.asarray(y)[order])


def predict_proba(fitted: Pipeline, X: np.ndarray) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(X.astype(np.float64))


def to_arrays(fitted: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What has to be kept to apply the classifier elsewhere; the training cells are not."""
    scaler, model = fitted
    return {
        **scaler_arrays(scaler),
        "hidden_coef": model.coefs_[0],
        "hidden_intercept": model.intercepts_[0],
        "coef": model.coefs_[1],
        "intercept": model.intercepts_[1],
    }


def from_arrays(arrays: dict[str, np.ndarray], classes: np.ndarray) -> Pipeline:
    """The fitted classifier again.

    Raises
    ------
    ValueError
        Arrays that do not fit each other or the classes.
    """
    scaler = scaler_from_arrays(arrays)
    outputs = 1 if len(classes) == 2 else len(classes)
    hidden = arrays["hidden_intercept"].size
    _require_shape(arrays, "hidden_coef", (scaler.n_features_in_, hidden))
    _require_shape(arrays, "hidden_intercept", (hidden,))
    _require_shape(arrays, "coef", (hidden, outputs))
    _require_shape(arrays, "intercept", (outputs,))
    model = MLPClassifier((hidden,))
    model.classes_, model.n_features_in_ = classes, scaler.n_features_in_
    model.coefs_ = [arrays["hidden_coef"], arrays["coef"]]
    model.intercepts_ = [arrays["hidden_intercept"], arrays["intercept"]]
    model.n_layers_, model.n_outputs_ = 3, outputs
    model.out_activation_ = "logistic" if outputs == 1 else "softmax"
    return make_pipeline(scaler, model)


def _require_shape(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> None:
    if arrays[name].shape != shape:
        raise ValueError(f"{name} has shape {arrays[name].shape}")

"""Standardise, then nearest neighbours, on embeddings."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from aidocell.baselines.scaler import scaler_arrays, scaler_from_arrays

__all__ = ["NEIGHBOURS", "fit", "from_arrays", "new_neighbours", "predict_proba", "to_arrays"]

NEIGHBOURS = 5  # scikit-learn's default; a class needs few cells to be found at all


def new_neighbours(cells: int, most: int = NEIGHBOURS) -> KNeighborsClassifier:
    """So many neighbours of equal weight (all, where there are fewer training cells)."""
    # brute force: a tree is no faster in tens of dimensions and breaks ties in its own order
    return KNeighborsClassifier(n_neighbors=min(most, cells), algorithm="brute")


def fit(X: np.ndarray, y: np.ndarray, *, seed: int) -> Pipeline:
    """Fit on embeddings, shape ``(cells, hidden)``, and their labels.

    Nothing is random. The order of the cells matters only where several lie equally far away.
    """
    model = new_neighbours(len(y))
    return make_pipeline(StandardScaler(), model).fit(X.astype(np.float64), y)


def predict_proba(fitted: Pipeline, X: np.ndarray) -> np.ndarray:
    """Shares of the neighbours, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return fitted.predict_proba(X.astype(np.float64))


def to_arrays(fitted: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What has to be kept to apply the classifier elsewhere: here, every training cell."""
    codes = np.searchsorted(fitted.classes_, y)
    return {**scaler_arrays(fitted[0]), "cells": X, "codes": codes.astype(np.int64)}


def from_arrays(arrays: dict[str, np.ndarray], classes: np.ndarray) -> Pipeline:
    """The fitted classifier again.

    Raises
    ------
    ValueError
        Arrays that do not fit each other or the classes.
    """
    scaler, cells, codes = scaler_from_arrays(arrays), arrays["cells"], arrays["codes"]
    if cells.ndim != 2 or cells.shape[1] != scaler.n_features_in_:
        raise ValueError(f"cells have shape {cells.shape}")
    if codes.shape != (len(cells),):
        raise ValueError(f"codes have shape {codes.shape}")
    if not np.array_equal(np.unique(codes), np.arange(len(classes))):
        raise ValueError("codes leave out a class or name one that is not there")
    scaled = scaler.transform(cells.astype(np.float64))
    return make_pipeline(scaler, new_neighbours(len(cells)).fit(scaled, classes[codes]))

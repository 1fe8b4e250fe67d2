"""Probabilities that mean what they say: one temperature, chosen on cells that were held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

__all__ = ["FLOOR", "calibrate", "expected_calibration_error", "tempered"]

FLOOR = 1e-6  # a probability of zero, as of neighbours, has no logarithm
_RANGE = (0.05, 20.0)
_BINS, _FOLDS = 15, 5


def calibrate(probabilities: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Choose the temperature that makes held-out cells most likely; no cell's class changes.

    With few cells that were all called right the best temperature would be zero, and every later
    cell certain. So a cell's own class is given not 1 but ``1 - 1 / (cells + 2)``, as Platt does.

    Parameters
    ----------
    probabilities
        Shape ``(cells, classes)``, of cells that were not learned from.
    labels
        Their classes.
    classes
        Sorted names, in the order of the columns.

    Returns
    -------
    calibration
        ``temperature``; ``ece_before`` and ``ece_after``, expected calibration errors, the second
        of cells whose temperature was chosen on other cells (None of fewer than five).
    """
    codes = np.searchsorted(classes, labels)
    fold = np.arange(len(codes)) % _FOLDS
    after = None
    if len(codes) >= _FOLDS:
        crossed = np.empty_like(probabilities, dtype=np.float64)
        for number in range(_FOLDS):
            apart = fold == number
            found = _temperature(probabilities[~apart], codes[~apart])
            crossed[apart] = tempered(probabilities[apart], found)
        after = expected_calibration_error(crossed, codes)
    return {
        "temperature": _temperature(probabilities, codes),
        "ece_before": expected_calibration_error(probabilities, codes),
        "ece_after": after,
    }


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities whose logarithms are divided by the temperature, summing to 1 again."""
    return softmax(np.log(np.maximum(probabilities, FLOOR)) / temperature, axis=1)


def expected_calibration_error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Mean distance of the largest probability from the share called right, over 15 even bins."""
    largest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    bins = np.minimum((largest * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - largest, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(codes))


def _temperature(probabilities: np.ndarray, codes: np.ndarray) -> float:
    cells, classes = probabilities.shape
    missed = 1 / (cells + 2)
    target = np.full((cells, classes), missed / (classes - 1))
    target[np.arange(cells), codes] = 1 - missed

    def loss(logarithm: float) -> float:
        return -(target * np.log(tempered(probabilities, np.exp(logarithm)) + 1e-300)).sum()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x))

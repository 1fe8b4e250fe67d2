"""Probabilities that mean what they say: one temperature, chosen on cells that were held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from aidocell.evaluate.calibration import expected_calibration_error

__all__ = ["FLOOR", "calibrate", "calibrated", "tempered"]

FLOOR = 1e-6  # a probability of zero has no logarithm
_RANGE = (0.05, 20.0)
_FOLDS = 5


def calibrate(
    probabilities: np.ndarray, labels: np.ndarray, classes: np.ndarray, *, floor: float = FLOOR
) -> dict[str, Any]:
    """Choose the temperature that makes held-out cells most likely; no cell's class changes.

    With few cells that were all called right the best temperature would be zero, and every later
    cell certain. So a cell's own class is given not 1 but ``1 - 1 / (cells + 2)``, as Platt does.

    Parameters
    ----------
    probabilities
        Shape ``(cells, classes)``, of cells that were not learned from; in an order of their own,
        such as by name, since every fifth cell is judged by the temperature of the others.
    labels
        Their classes.
    classes
        Sorted names, in the order of the columns.
    floor
        What smaller probabilities are raised to first.

    Returns
    -------
    calibration
        ``temperature`` and ``floor``; ``ece_before`` and ``ece_after``, expected calibration errors, the second
        of cells whose temperature was chosen on other cells (None of fewer than five).
    """
    codes = np.searchsorted(classes, labels)
    fold = np.arange(len(codes)) % _FOLDS
    after = None
    if len(codes) >= _FOLDS:
        crossed = np.empty_like(probabilities, dtype=np.float64)
        for number in range(_FOLDS):
            apart = fold == number
            found = _temperature(probabilities[~apart], codes[~apart], floor)
            crossed[apart] = tempered(probabilities[apart], found, floor)
        after = _error(crossed, codes)
    return {
        "temperature": _temperature(probabilities, codes, floor),
        "floor": floor,
        "ece_before": _error(probabilities, codes),
        "ece_after": after,
    }


def calibrated(probabilities: np.ndarray, calibration: Mapping[str, Any] | None) -> np.ndarray:
    """Probabilities by the temperature that :func:`calibrate` chose; as they are without one."""
    if calibration is None:
        return probabilities
    return tempered(probabilities, calibration["temperature"], calibration["floor"])


def tempered(probabilities: np.ndarray, temperature: float, floor: float = FLOOR) -> np.ndarray:
    """Probabilities whose logarithms are divided by the temperature, summing to 1 again."""
    return softmax(np.log(np.maximum(probabilities, floor)) / temperature, axis=1)


def _error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    right = probabilities.argmax(axis=1) == codes
    return expected_calibration_error(probabilities.max(axis=1), right)


def _temperature(probabilities: np.ndarray, codes: np.ndarray, floor: float) -> float:
    cells, classes = probabilities.shape
    missed = 1 / (cells + 2)
    target = np.full((cells, classes), missed / (classes - 1))
    target[np.arange(cells), codes] = 1 - missed

    def loss(logarithm: float) -> float:
        return -(target * np.log(tempered(probabilities, np.exp(logarithm), floor) + 1e-300)).sum()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x))

"""Whether probabilities mean what they say: the calibration curve and its expected error.

A cell's confidence is its largest probability. Confidences fall into fifteen bins of equal width;
a bin holds its upper edge and not its lower one. The expected calibration error is the mean, over
cells, of the distance between a bin's mean confidence and the share of its cells called right.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aidocell.evaluate.metrics import DRAWS, interval

__all__ = ["BINS", "calibration_curve", "calibration_error", "expected_calibration_error"]

BINS = 15
_EDGES = np.linspace(0, 1, BINS + 1)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The error of cells with these largest probabilities; `right` says which were called right."""
    gaps = (np.asarray(right, dtype=np.float64) - confidence).ravel()
    return float(np.abs(_summed(_bins(confidence), gaps)).sum() / gaps.size)


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, *, seed: int, draws: int = DRAWS
) -> tuple[float, float, float]:
    """Expected calibration error, low and high, by bootstrap over cells.

    Of few cells the error comes out too large even of perfect probabilities, and that of a draw
    larger still, so a small one may lie below its own interval.

    Parameters
    ----------
    confidence
        Largest probability, shape ``(cells,)`` or ``(cells, repeats)``; a draw takes a cell with
        all its repeats.
    right
        Whether the class with that probability was the true one; the same shape.
    """
    cells = len(confidence)
    gaps = (np.asarray(right, dtype=np.float64) - confidence).reshape(cells, -1)
    bins = _bins(confidence).reshape(cells, -1)
    order = np.lexsort([*bins.T, *gaps.T])  # so that the order of the cells does not matter
    gaps, bins = gaps[order], bins[order].ravel()
    rng, errors = np.random.default_rng(seed), np.empty(draws)
    for draw in range(draws):
        times = np.bincount(rng.integers(0, cells, cells), minlength=cells)
        errors[draw] = np.abs(_summed(bins, (times[:, None] * gaps).ravel())).sum() / gaps.size
    return expected_calibration_error(confidence, right), *interval(errors)


def calibration_curve(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """One row a bin: ``low``, ``high``, ``cells``, mean ``confidence`` and ``accuracy``.

    The last two are missing where no cell is.
    """
    bins = _bins(confidence)
    cells = np.bincount(bins, minlength=BINS)
    table = pd.DataFrame({"low": _EDGES[:-1], "high": _EDGES[1:], "cells": cells})
    for name, values in (("confidence", confidence), ("accuracy", right)):
        sums = _summed(bins, np.asarray(values, dtype=np.float64).ravel())
        table[name] = np.divide(sums, cells, out=np.full(BINS, np.nan), where=cells > 0)
    return table


def _bins(confidence: np.ndarray) -> np.ndarray:
    places = np.searchsorted(_EDGES, np.ravel(confidence), side="left") - 1
    return np.clip(places, 0, BINS - 1)


def _summed(bins: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(bins, weights=values, minlength=BINS)

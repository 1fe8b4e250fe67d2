"""Whether probabilities mean what they say: expected calibration error and its curve."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aidocell.evaluate.metrics import DRAWS, PERCENTILES

__all__ = ["BINS", "calibration_curve", "calibration_error", "calibration_metric"]

BINS = 15  # of equal width, as of Guo et al. 2017 (arXiv 1706.04599)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: gap of mean confidence and accuracy, averaged over bins by cells.

    Parameters
    ----------
    confidence
        Probability of the predicted class, 0 to 1, of any shape.
    correct
        Whether that class is the true one, of the same shape.
    """
    gaps = np.bincount(_bins(confidence), (correct - confidence).ravel(), minlength=BINS)
    return float(np.abs(gaps).sum() / confidence.size)


def calibration_metric(
    confidence: np.ndarray, correct: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """The error with its 95 % bootstrap interval over cells; columns as of `summary_metrics`.

    Both have the shape ``(cells,)`` or ``(cells, repeats)``. The error of a draw is biased upwards,
    as that of few cells is: its interval may lie above the value.
    """
    rng = np.random.default_rng(seed)
    cells = len(confidence)
    bins = _bins(confidence).reshape(confidence.shape)
    gap = correct - confidence
    errors = np.empty(draws)
    for draw in range(draws):
        rows = rng.integers(0, cells, cells)
        gaps = np.bincount(bins[rows].ravel(), gap[rows].ravel(), minlength=BINS)
        errors[draw] = np.abs(gaps).sum() / gap.size
    interval = np.percentile(errors, PERCENTILES)
    value = calibration_error(confidence, correct)
    return pd.DataFrame([("ece", value, *interval)], columns=["metric", "value", "low", "high"])


def calibration_curve(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Of each bin with predictions: ``low, high, predictions, confidence, accuracy`` (means)."""
    bins = _bins(confidence)
    number = np.bincount(bins, minlength=BINS)
    there = number > 0
    sums = [np.bincount(bins, values.ravel(), minlength=BINS) for values in (confidence, correct)]
    means = [total[there] / number[there] for total in sums]
    edges = np.linspace(0, 1, BINS + 1)
    return pd.DataFrame(
        {
            "low": edges[:-1][there],
            "high": edges[1:][there],
            "predictions": number[there],
            "confidence": means[0],
            "accuracy": means[1],
        }
    )


def _bins(confidence: np.ndarray) -> np.ndarray:
    """Bin of each confidence; an edge belongs to the bin below it, and 0 to the first."""
    return np.clip(np.ceil(confidence.ravel() * BINS).astype(np.int64) - 1, 0, BINS - 1)

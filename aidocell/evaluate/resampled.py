"""The mean of a figure over cross-validation folds, with an interval that owns up to their overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

__all__ = ["mean_over_folds"]

_LEVEL = 0.95


def mean_over_folds(
    values: Sequence[float], train: Sequence[int], test: Sequence[int]
) -> tuple[float, float, float]:
    """Mean and the 95 % corrected resampled t interval of Nadeau and Bengio (2003).

    Training parts overlap, so the folds' figures are not independent and the usual t interval is
    too narrow. Their variance is multiplied by ``1/J + test/train`` instead of ``1/J``, for J folds
    and J - 1 degrees of freedom. The interval is not cut off at 0 and 1.

    Parameters
    ----------
    values
        The figure of each fold.
    train, test
        Cells that each fold learned from and was judged by; the mean of their ratios is taken.

    References
    ----------
    Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 52, 239-281 (2003).
    """
    figures = np.asarray(values, dtype=np.float64)
    folds, mean = len(figures), float(figures.mean())
    ratio = float(np.mean(np.asarray(test) / np.asarray(train)))
    error = np.sqrt(figures.var(ddof=1) * (1 / folds + ratio))
    half = float(t.ppf((1 + _LEVEL) / 2, folds - 1) * error)
    return mean, mean - half, mean + half

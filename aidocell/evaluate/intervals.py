"""Intervals over the folds of a cross-validation, whose training cells overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

__all__ = ["resampled_t_interval"]


def resampled_t_interval(
    values: Sequence[float], *, tested: float, trained: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over folds, and its corrected resampled t interval.

    The variance over `J` folds counts ``1/J + tested/trained`` times instead of ``1/J``, since
    folds share training cells (Nadeau & Bengio 2003, Machine Learning 52: 239); ``J - 1`` degrees
    of freedom.

    Parameters
    ----------
    values
        A metric on the test cells of each fold, of all repeats.
    tested, trained
        Cells of a fold, on average.

    Returns
    -------
    mean, low, high
        `low` and `high` are NaN where there is but one fold.
    """
    values = np.asarray(values, dtype=np.float64)
    folds = len(values)
    if folds < 2:
        return float(values.mean()), np.nan, np.nan
    spread = np.sqrt(values.var(ddof=1) * (1 / folds + tested / trained))
    half = stats.t.ppf((1 + level) / 2, folds - 1) * spread
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)

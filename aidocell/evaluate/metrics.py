"""Metrics of predicted labels, with bootstrap intervals over cells.

A draw resamples cells with replacement. Every metric here depends on the counts of the confusion
matrix alone, and these counts follow a multinomial distribution under such a draw, so draws are
made of counts and cost the same for a million cells as for a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

__all__ = ["DRAWS", "compare", "confusion", "per_class", "summary_metrics"]

DRAWS = 1_000
_PERCENTILES = (2.5, 97.5)  # a 95 % interval
_SUMMARY = ("macro_f1", "accuracy")


def summary_metrics(
    true: np.ndarray, predicted: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Macro-F1 and accuracy; columns ``metric``, ``value``, ``low``, ``high``.

    Macro-F1 is the plain mean over the classes that occur among the true or predicted labels,
    in the cells given as in every draw (scikit-learn's default).
    """
    codes, classes = _codes(true, predicted)
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    values = _summary_values(true, predicted)
    return pd.DataFrame(
        [(metric, values[metric], *_interval(getattr(drawn, metric)(0))) for metric in _SUMMARY],
        columns=["metric", "value", "low", "high"],
    )


def per_class(
    true: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Support, precision, recall and F1 of each class, each with ``_low`` and ``_high``.

    Precision is 0 where a class was never predicted. A draw in which a class has no true cell
    says nothing on its recall and is left out of that interval.
    """
    codes, _ = _codes(true, predicted, classes)
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    values = precision_recall_fscore_support(true, predicted, labels=classes, zero_division=0)
    table = pd.DataFrame({"label": list(classes), "support": values[3].astype(np.int64)})
    for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
        low, high = _interval(getattr(drawn, name)(0))
        table[name], table[f"{name}_low"], table[f"{name}_high"] = value, low, high
    return table


def confusion(true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Cells of every pair of true and predicted class, zeros included; long form."""
    counts = confusion_matrix(true, predicted, labels=classes)
    pairs = pd.MultiIndex.from_product([classes, classes], names=["true", "predicted"])
    return pd.DataFrame({"cells": counts.ravel()}, index=pairs).reset_index()


def compare(
    true: np.ndarray,
    predicted: np.ndarray,
    reference: np.ndarray,
    *,
    seed: int,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Difference of two methods on the same cells by paired bootstrap.

    Returns
    -------
    table
        Columns ``metric``, ``difference`` (`predicted` minus `reference`), ``low``, ``high``.
    """
    codes, classes = _codes(true, predicted, None, reference)
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    ours, theirs = _summary_values(true, predicted), _summary_values(true, reference)
    rows = []
    for metric in _SUMMARY:
        values = getattr(drawn, metric)
        interval = _interval(values(0) - values(1))
        rows.append((metric, ours[metric] - theirs[metric], *interval))
    return pd.DataFrame(rows, columns=["metric", "difference", "low", "high"])


def _summary_values(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return {
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(true, predicted)),
    }


def _codes(
    true: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str] | None = None,
    *others: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as numbers, shape ``(cells, 2 or more)``: the truth, then each prediction."""
    columns = [true, predicted, *others]
    known = np.unique(np.concatenate(columns)) if classes is None else np.asarray(classes)
    index = pd.Index(known)
    return np.stack([index.get_indexer(column) for column in columns], axis=1), known


class _Draws:
    """Resampled cells as counts of each combination of true and predicted labels.

    Methods return an array whose first axis is the draw, for prediction number `which`.
    """

    def __init__(self, codes: np.ndarray, classes: int, *, seed: int, draws: int) -> None:
        self._kinds, cells = np.unique(codes, axis=0, return_counts=True)
        self._total, self._classes = int(cells.sum()), classes
        rng = np.random.default_rng(seed)
        shares = cells / self._total
        self._counts = rng.multinomial(self._total, shares, size=draws).astype(np.float64)

    def _per_class(self, column: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Cells of each class in `column`, shape ``(draws, classes)``."""
        member = column[:, None] == np.arange(self._classes)
        if where is not None:
            member &= where[:, None]
        return self._counts @ member.astype(np.float64)

    def _cells(self, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells called right, true cells and predicted cells of each class."""
        true, predicted = self._kinds[:, 0], self._kinds[:, 1 + which]
        hits = self._per_class(true, true == predicted)
        return hits, self._per_class(true), self._per_class(predicted)

    def precision(self, which: int) -> np.ndarray:
        hits, _, predicted = self._cells(which)
        return hits / np.maximum(predicted, 1)

    def recall(self, which: int) -> np.ndarray:
        hits, true, _ = self._cells(which)
        return np.divide(hits, true, out=np.full_like(hits, np.nan), where=true > 0)

    def f1(self, which: int) -> np.ndarray:
        hits, true, predicted = self._cells(which)
        both = true + predicted
        return np.divide(2 * hits, both, out=np.full_like(hits, np.nan), where=both > 0)

    def macro_f1(self, which: int) -> np.ndarray:
        return np.nanmean(self.f1(which), axis=1)

    def accuracy(self, which: int) -> np.ndarray:
        return self._cells(which)[0].sum(axis=1) / self._total


def _interval(values: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, shape ``(2, …)``."""
    return np.nanpercentile(values, _PERCENTILES, axis=0)

"""Metrics of predicted labels, with bootstrap intervals over cells.

A draw resamples cells with replacement, each with all its predictions where folds were repeated.
Every metric here depends on the counts of the confusion matrix alone, and these counts follow a
multinomial distribution under such a draw, so draws are made of counts and cost the same for a
million cells as for a hundred.
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
    recall_score,
)

__all__ = ["DRAWS", "PERCENTILES", "compare", "confusion", "per_class", "summary_metrics"]

DRAWS = 1_000
PERCENTILES = (2.5, 97.5)  # a 95 % interval
_SUMMARY = ("macro_f1", "accuracy", "balanced_accuracy")


def summary_metrics(
    true: np.ndarray, predicted: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Macro-F1, accuracy and balanced accuracy; columns ``metric``, ``value``, ``low``, ``high``.

    Macro-F1 is the plain mean over the classes that occur among the true or predicted labels,
    in the cells given as in every draw (scikit-learn's default); balanced accuracy the mean
    recall of the classes that occur among the true ones.

    Parameters
    ----------
    true
        Class of each cell, shape ``(cells,)``.
    predicted
        Shape ``(cells,)``, or ``(cells, repeats)`` where each was predicted several times: all
        predictions count, and a draw takes those of a cell together.
    """
    codes, classes, parts = _codes(true, [predicted])
    drawn = _Draws(codes, len(classes), parts, seed=seed, draws=draws)
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
    """Support (cells), precision, recall and F1 of each class, each with ``_low`` and ``_high``.

    Precision is 0 where a class was never predicted. A draw in which a class has no true cell
    says nothing on its recall and is left out of that interval.
    """
    codes, _, parts = _codes(true, [predicted], classes)
    drawn = _Draws(codes, len(classes), parts, seed=seed, draws=draws)
    every = _pairs(true, predicted)
    values = precision_recall_fscore_support(*every, labels=classes, zero_division=0)
    support = values[3].astype(np.int64) * len(true) // max(len(every[0]), 1)
    table = pd.DataFrame({"label": list(classes), "support": support})
    for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
        low, high = _interval(getattr(drawn, name)(0))
        table[name], table[f"{name}_low"], table[f"{name}_high"] = value, low, high
    return table


def confusion(true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Predictions of every pair of true and predicted class, zeros included; long form."""
    counts = confusion_matrix(*_pairs(true, predicted), labels=classes)
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
    codes, classes, parts = _codes(true, [predicted, reference])
    drawn = _Draws(codes, len(classes), parts, seed=seed, draws=draws)
    ours, theirs = _summary_values(true, predicted), _summary_values(true, reference)
    rows = []
    for metric in _SUMMARY:
        values = getattr(drawn, metric)
        interval = _interval(values(0) - values(1))
        rows.append((metric, ours[metric] - theirs[metric], *interval))
    return pd.DataFrame(rows, columns=["metric", "difference", "low", "high"])


def _pairs(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class of every prediction."""
    predicted = predicted.reshape(len(true), -1)
    return np.repeat(true, predicted.shape[1]), predicted.ravel()


def _summary_values(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    true, predicted = _pairs(true, predicted)
    recall = recall_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)
    return {
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(true, predicted)),
        "balanced_accuracy": float(recall),
    }


def _codes(
    true: np.ndarray, predictions: Sequence[np.ndarray], classes: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Labels as numbers, ``(cells, columns)``: the truth, then each prediction, in its columns."""
    predictions = [predicted.reshape(len(true), -1) for predicted in predictions]
    labels = np.column_stack([true, *predictions])
    known = np.unique(labels) if classes is None else np.asarray(classes)
    ends = np.cumsum([1, *(predicted.shape[1] for predicted in predictions)])
    codes = pd.Index(known).get_indexer(labels.ravel()).reshape(labels.shape)
    return codes, known, [slice(*ends[i : i + 2]) for i in range(len(predictions))]


class _Draws:
    """Resampled cells as counts of each combination of true and predicted labels.

    Methods return an array whose first axis is the draw, for prediction number `which`, whose
    columns of `codes` are ``parts[which]``.
    """

    def __init__(
        self, codes: np.ndarray, classes: int, parts: list[slice], *, seed: int, draws: int
    ) -> None:
        self._kinds, cells = np.unique(codes, axis=0, return_counts=True)
        self._total, self._classes, self._parts = int(cells.sum()), classes, parts
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
        """Predictions that are right, of true cells, and of predicted cells of each class."""
        true, columns = self._kinds[:, 0], self._kinds[:, self._parts[which]].T
        hits = sum(self._per_class(true, true == predicted) for predicted in columns)
        predicted = sum(self._per_class(predicted) for predicted in columns)
        return hits, self._per_class(true) * len(columns), predicted

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
        hits, true, _ = self._cells(which)
        return hits.sum(axis=1) / true.sum(axis=1)

    def balanced_accuracy(self, which: int) -> np.ndarray:
        return np.nanmean(self.recall(which), axis=1)


def _interval(values: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, shape ``(2, …)``."""
    return np.nanpercentile(values, PERCENTILES, axis=0)

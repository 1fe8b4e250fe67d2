"""Metrics of predicted labels, with bootstrap intervals over cells.

A draw resamples cells with replacement. Every metric here depends on the counts of the confusion
matrix alone, and these counts follow a multinomial distribution under such a draw, so draws are
made of counts and cost the same for a million cells as for a hundred. A cell that was predicted
several times, in repeated cross-validation, is drawn with all its predictions together.
"""

from __future__ import annotations

import warnings
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

__all__ = [
    "DRAWS",
    "SUMMARY",
    "compare",
    "confusion",
    "interval",
    "mean_metrics",
    "per_class",
    "summary_metrics",
]

DRAWS = 1_000
SUMMARY = ("macro_f1", "accuracy", "balanced_accuracy")
_PERCENTILES = (2.5, 97.5)  # a 95 % interval
_AT_ONCE = 4_000_000  # counts of draws in memory


def summary_metrics(
    true: np.ndarray, predicted: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Each of :data:`SUMMARY`; columns ``metric``, ``value``, ``low``, ``high``.

    Macro-F1 is the plain mean over the classes that occur among the true or predicted labels,
    in the cells given as in every draw (scikit-learn's default). Balanced accuracy is the mean
    recall of the classes that have cells.

    Parameters
    ----------
    true
        Shape ``(cells,)``.
    predicted
        Shape ``(cells,)``, or ``(cells, repeats)``: the figure is that of all predictions.
    """
    codes, classes = _codes(true, [predicted])
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    values = _summary_values(true, predicted)
    return pd.DataFrame(
        [(metric, values[metric], *interval(getattr(drawn, metric)(0))) for metric in SUMMARY],
        columns=["metric", "value", "low", "high"],
    )


def mean_metrics(
    true: np.ndarray, predicted: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Means of each of :data:`SUMMARY` over runs; columns as of :func:`summary_metrics`, and ``spread``.

    The interval is of the mean, by draws of cells with the predictions of all runs: it says what
    other cells would change. The spread is the standard deviation between the runs, NaN for one.

    Parameters
    ----------
    predicted
        Shape ``(cells, runs)``.
    """
    runs = list(predicted.T)
    codes, classes = _codes(true, runs)
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    values = pd.DataFrame([_summary_values(true, run) for run in runs])
    rows = []
    for metric in SUMMARY:
        means = np.mean([getattr(drawn, metric)(run) for run in range(len(runs))], axis=0)
        rows.append((metric, values[metric].mean(), *interval(means), values[metric].std()))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "spread"])


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
    says nothing on its recall and is left out of that interval; a class without any has none, and
    no F1 either where it was never predicted. The support is of cells, however often each was
    predicted. Shapes as of :func:`summary_metrics`.
    """
    codes, _ = _codes(true, [predicted], classes)
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    values = precision_recall_fscore_support(
        *_flat(true, predicted), labels=classes, zero_division=np.nan
    )
    precision = np.nan_to_num(values[0])
    support = pd.Index(true).value_counts().reindex(classes, fill_value=0)
    table = pd.DataFrame({"label": list(classes), "support": support.to_numpy(np.int64)})
    for name, value in (("precision", precision), ("recall", values[1]), ("f1", values[2])):
        low, high = interval(getattr(drawn, name)(0))
        table[name], table[f"{name}_low"], table[f"{name}_high"] = value, low, high
    return table


def confusion(true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Predictions of every pair of true and predicted class, zeros included; long form.

    The column is ``cells``: without repeats each has one prediction.
    """
    counts = confusion_matrix(*_flat(true, predicted), labels=classes)
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
    codes, classes = _codes(true, [predicted, reference])
    drawn = _Draws(codes, len(classes), seed=seed, draws=draws)
    ours, theirs = _summary_values(true, predicted), _summary_values(true, reference)
    rows = []
    for metric in SUMMARY:
        values = getattr(drawn, metric)
        rows.append((metric, ours[metric] - theirs[metric], *interval(values(0) - values(1))))
    return pd.DataFrame(rows, columns=["metric", "difference", "low", "high"])


def interval(values: np.ndarray) -> np.ndarray:
    """Percentile interval over the first axis, shape ``(2, …)``; NaN where no draw has a value."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        return np.nanpercentile(values, _PERCENTILES, axis=0)


def _summary_values(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    true, predicted = _flat(true, predicted)
    named = np.unique(true)
    return {
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(true, predicted)),
        "balanced_accuracy": float(
            recall_score(true, predicted, labels=named, average="macro", zero_division=0)
        ),
    }


def _flat(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every prediction beside its truth, shape ``(cells × repeats,)`` each."""
    return np.repeat(true, predicted.size // len(true)), predicted.ravel()


def _codes(
    true: np.ndarray, predictions: Sequence[np.ndarray], classes: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as numbers, shape ``(sets of predictions, cells, 1 + repeats)``, the truth first."""
    columns = [values.reshape(len(true), -1) for values in predictions]
    seen = [true, *(values.ravel() for values in columns)]
    known = np.unique(np.concatenate(seen)) if classes is None else np.asarray(classes)
    index = pd.Index(known)
    whole = [np.column_stack([true, values]) for values in columns]
    codes = [index.get_indexer(values.ravel()).reshape(values.shape) for values in whole]
    return np.stack(codes), known


class _Draws:
    """Resampled cells as cells called right, true cells and predicted cells of each class.

    Methods return an array whose first axis is the draw, for set number `which` of predictions.
    """

    def __init__(self, codes: np.ndarray, classes: int, *, seed: int, draws: int) -> None:
        sets, cells, columns = codes.shape
        wide = np.moveaxis(codes, 0, 1).reshape(cells, sets * columns)
        kinds, counts = np.unique(wide, axis=0, return_counts=True)
        tallies = _tallies(kinds.reshape(-1, sets, columns), classes)
        rng, shares = np.random.default_rng(seed), counts / cells
        at_once = max(1, _AT_ONCE // len(kinds))
        parts = [
            rng.multinomial(cells, shares, size=min(at_once, draws - start)).astype(float) @ tallies
            for start in range(0, draws, at_once)
        ]
        # sets, (called right, true, predicted), draws, classes
        drawn = np.concatenate(parts).reshape(draws, sets, 3, classes)
        self._drawn = np.moveaxis(drawn, 0, 2)

    def precision(self, which: int) -> np.ndarray:
        hits, _, predicted = self._drawn[which]
        return hits / np.maximum(predicted, 1)

    def recall(self, which: int) -> np.ndarray:
        hits, true, _ = self._drawn[which]
        return np.divide(hits, true, out=np.full_like(hits, np.nan), where=true > 0)

    def f1(self, which: int) -> np.ndarray:
        hits, true, predicted = self._drawn[which]
        both = true + predicted
        return np.divide(2 * hits, both, out=np.full_like(hits, np.nan), where=both > 0)

    def macro_f1(self, which: int) -> np.ndarray:
        return np.nanmean(self.f1(which), axis=1)

    def accuracy(self, which: int) -> np.ndarray:
        hits, true, _ = self._drawn[which]
        return hits.sum(axis=1) / true.sum(axis=1)

    def balanced_accuracy(self, which: int) -> np.ndarray:
        return np.nanmean(self.recall(which), axis=1)


def _tallies(kinds: np.ndarray, classes: int) -> np.ndarray:
    """What a cell of each kind adds to each class, shape ``(kinds, sets × 3 × classes)``.

    `kinds` has the shape ``(kinds, sets, 1 + repeats)``.
    """
    true, predicted = kinds[:, :, :1], kinds[:, :, 1:]
    shape = (*kinds.shape[:2], 3, classes)
    tallies = np.zeros(shape)
    row, one = np.indices(kinds.shape[:2])
    for repeat in range(predicted.shape[2]):
        called, right = predicted[:, :, repeat], true[:, :, 0]
        np.add.at(tallies, (row, one, 0, right), called == right)
        np.add.at(tallies, (row, one, 1, right), 1)
        np.add.at(tallies, (row, one, 2, called), 1)
    return tallies.reshape(len(kinds), -1)

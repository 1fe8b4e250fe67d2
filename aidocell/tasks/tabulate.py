"""From predictions to the tables of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

from aidocell.evaluate.calibration import calibration_curve, calibration_error
from aidocell.evaluate.metrics import compare, confusion, per_class, summary_metrics
from aidocell.evaluate.resampled import mean_over_folds
from aidocell.tasks.folds import Splits
from aidocell.tasks.judging import Judged

__all__ = ["Evaluation", "tabulate"]

_HEADERS = {
    "per_class": "method label support precision precision_low precision_high recall recall_low "
    "recall_high f1 f1_low f1_high",
    "confusion": "method true predicted cells",
    "comparisons": "method reference metric difference low high",
    "calibration": "method low high cells confidence accuracy",
    "predictions": "cell fold method true predicted",
}


@dataclass(frozen=True)
class Evaluation:
    """Judged methods: tables as they are written, full precision.

    Attributes
    ----------
    metrics
        ``method, fold, metric, value, low, high, note``; fold ``all`` is the figure of the pooled
        predictions with its bootstrap interval; of several folds ``mean`` is their mean with the
        corrected resampled t interval. A method that could not run has one row without figures.
    per_class
        ``method, label, support``, then precision, recall and f1, each with low and high.
    confusion
        ``method, true, predicted, cells``.
    comparisons
        ``method, reference, metric, difference, low, high``: every ordered pair of methods,
        paired over the same cells; the difference is method minus reference.
    calibration
        ``method, low, high, cells, confidence, accuracy``: the calibration curve by bins.
    predictions
        ``cell, fold, method, true, predicted``, then one ``p_<class>`` a class.
    run_times
        ``method, fold, fit_seconds, predict_seconds``; no two runs have the same.
    summary
        Cells and classes used and left out, folds, seed, warnings.
    """

    metrics: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    comparisons: pd.DataFrame
    calibration: pd.DataFrame
    predictions: pd.DataFrame
    run_times: pd.DataFrame
    summary: dict[str, Any]


@dataclass(frozen=True)
class _Calls:
    """Predictions of one method, a cell a row and a repeat a column; `fold` like `predicted`."""

    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, repeats: int) -> _Calls:
        def wide(values: np.ndarray) -> np.ndarray:
            return values.reshape(repeats, -1).T

        probabilities = table.filter(regex="^p_").to_numpy()
        true = table["true"].to_numpy()
        return cls(
            true[: len(true) // repeats],
            wide(table["predicted"].to_numpy()),
            wide(probabilities.max(axis=1)),
            wide(table["fold"].to_numpy()),
        )

    def of_fold(self, number: int) -> _Calls:
        """What one fold judged, each cell once."""
        cells, repeat = np.nonzero(self.fold == number)
        picked = (values[cells, repeat] for values in (self.predicted, self.confidence, self.fold))
        return _Calls(self.true[cells], *picked)

    @property
    def right(self) -> np.ndarray:
        return self.predicted == (self.true if self.predicted.ndim == 1 else self.true[:, None])


def tabulate(
    judged: Sequence[Judged], splits: Splits, summary: dict[str, Any], *, seed: int, draws: int
) -> Evaluation:
    """All tables of these methods, in their order."""
    options = {"seed": seed, "draws": draws}
    ran = {one.method: one for one in judged if one.predictions is not None}
    repeats = splits.about["repeats"]
    calls = {name: _Calls.of(one.predictions, repeats) for name, one in ran.items()}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in _HEADERS}
    for name, call in calls.items():
        given = (call.true, call.predicted, splits.classes)
        curve = calibration_curve(call.confidence, call.right)
        tables["per_class"].append(_tagged(per_class(*given, **options), method=name))
        tables["confusion"].append(_tagged(confusion(*given), method=name))
        tables["calibration"].append(_tagged(curve, method=name))
        tables["predictions"].append(ran[name].predictions)
    tables["comparisons"] = list(_comparisons(calls, options))
    whole = {name: _joined(parts, _HEADERS[name]) for name, parts in tables.items()}
    return Evaluation(
        metrics=pd.concat(list(_metrics(judged, calls, splits, options)), ignore_index=True),
        run_times=pd.DataFrame(
            [(one.method, *spent) for one in judged for spent in one.times],
            columns=["method", "fold", "fit_seconds", "predict_seconds"],
        ),
        summary=summary,
        **whole,
    )


def _metrics(
    judged: Sequence[Judged],
    calls: Mapping[str, _Calls],
    splits: Splits,
    options: Mapping[str, int],
) -> Iterator[pd.DataFrame]:
    for one in judged:
        if one.predictions is None:
            row = {"method": one.method, "fold": "all", "metric": "macro_f1"}
            missing = dict.fromkeys(("value", "low", "high"), np.nan)
            yield pd.DataFrame([{**row, **missing, "note": f"unavailable: {one.unavailable}"}])
            continue
        whole = _figures(calls[one.method], options)
        yield _tagged(whole.assign(note=one.remark), method=one.method, fold="all")
        by_fold = {
            f.number: _figures(calls[one.method].of_fold(f.number), options) for f in splits.folds
        }
        if len(by_fold) > 1:
            mean = _means(list(by_fold.values()), splits)
            yield _tagged(mean.assign(note=""), method=one.method, fold="mean")
        for number, table in by_fold.items():
            yield _tagged(table.assign(note=""), method=one.method, fold=str(number))


def _figures(calls: _Calls, options: Mapping[str, int]) -> pd.DataFrame:
    table = summary_metrics(calls.true, calls.predicted, **options)
    error = calibration_error(calls.confidence, calls.right, **options)
    table.loc[len(table)] = ["ece", *error]
    return table


def _means(by_fold: list[pd.DataFrame], splits: Splits) -> pd.DataFrame:
    sizes = [[len(part.rows) for part in (f.train, f.test)] for f in splits.folds]
    train, test = zip(*sizes, strict=True)
    values = np.array([table["value"] for table in by_fold])
    rows = [
        (metric, *mean_over_folds(column, train, test))
        for metric, column in zip(by_fold[0]["metric"], values.T, strict=True)
    ]
    return pd.DataFrame(rows, columns=by_fold[0].columns)


def _comparisons(calls: Mapping[str, _Calls], options: Mapping[str, int]) -> Iterator[pd.DataFrame]:
    """Every ordered pair; the second of two is the first seen from the other side."""
    found = {}
    for name, other in combinations(calls, 2):
        table = compare(calls[name].true, calls[name].predicted, calls[other].predicted, **options)
        mirrored = {
            "difference": -table["difference"],
            "low": -table["high"],
            "high": -table["low"],
        }
        found[name, other], found[other, name] = table, table.assign(**mirrored)
    for name, other in permutations(calls, 2):
        yield _tagged(found[name, other], method=name, reference=other)


def _joined(parts: list[pd.DataFrame], header: str) -> pd.DataFrame:
    if not parts:  # the file has its header all the same
        return pd.DataFrame(columns=header.split())
    return pd.concat(parts, ignore_index=True)


def _tagged(table: pd.DataFrame, **columns: str) -> pd.DataFrame:
    for position, (name, value) in enumerate(columns.items()):
        table.insert(position, name, value)
    return table

"""Cell types: judge methods on labelled cells, and train one to label others."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from aidocell import files
from aidocell.baselines import METHODS, Method
from aidocell.errors import InputError
from aidocell.evaluate.metrics import DRAWS, compare, confusion, per_class, summary_metrics
from aidocell.evaluate.splits import assign_folds
from aidocell.evaluate.tables import write_tsv
from aidocell.records import write_record
from aidocell.tables import write_table
from aidocell.tasks.labelled import Labelled, select

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_labelled",
    "fit_quietly",
    "probability_columns",
    "require_methods",
    "write_evaluation",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Cross-validated methods: tables as they are written, full precision.

    Attributes
    ----------
    metrics
        ``method, fold, metric, value, low, high``; fold ``all`` is the figure of the pooled
        out-of-fold predictions.
    per_class
        ``method, label, support``, then precision, recall and f1, each with low and high.
    confusion
        ``method, true, predicted, cells``.
    comparisons
        ``method, reference, metric, difference, low, high``: every ordered pair of methods,
        paired over the same cells; the difference is method minus reference.
    predictions
        ``cell, fold, method, true, predicted``, then one ``p_<class>`` a class.
    summary
        Cells and classes used and left out, folds, seed, warnings.
    """

    metrics: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    comparisons: pd.DataFrame
    predictions: pd.DataFrame
    summary: dict[str, Any]


def evaluate(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    *,
    methods: Sequence[str],
    embeddings: np.ndarray | None = None,
    counts: sparse.csr_matrix | None = None,
    groups: Sequence[object] | pd.Series | None = None,
    folds: int = 5,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    max_cells: int | None = None,
    draws: int = DRAWS,
) -> Evaluation:
    """Cross-validate methods on the same folds.

    Every method is fitted on the training cells of a fold alone, scaling and components
    included. The result does not depend on the order of the cells.

    Parameters
    ----------
    labels
        Class of each cell; a cell without one is left out and counted.
    cells
        Unique names.
    methods
        Keys of :data:`aidocell.baselines.METHODS`.
    embeddings
        Shape ``(cells, hidden)``; for the methods that need them.
    counts
        Raw counts, shape ``(cells, genes)``; for the methods that need them.
    groups
        Donor or batch of each cell: all cells of one are in one fold.
    folds
        Number of folds.
    seed
        For the split, the methods and the bootstrap.
    min_cells_per_class
        Classes with fewer cells are left out and counted.
    max_cells
        Where more cells are left, that many are drawn, every class by its share; None takes all.
    draws
        Bootstrap draws behind each 95 % interval.

    Raises
    ------
    InputError
        ``E_LABEL_MISSING``, ``E_LABEL_CLASSES``, ``E_CELL_NAMES``, ``E_CONFIG``,
        ``E_MATRIX_SHAPE``, ``E_NOT_FINITE``, ``E_NEGATIVE``.
    """
    require_methods(methods, embeddings=embeddings is not None, counts=counts is not None)
    labelled = select(
        labels,
        cells,
        embeddings=embeddings,
        counts=counts,
        groups=groups,
        folds=folds,
        min_cells_per_class=min_cells_per_class,
        max_cells=max_cells,
        seed=seed,
    )
    return evaluate_labelled(labelled, methods=methods, folds=folds, seed=seed, draws=draws)


def evaluate_labelled(
    labelled: Labelled, *, methods: Sequence[str], folds: int, seed: int, draws: int = DRAWS
) -> Evaluation:
    """Cross-validate methods on cells that are chosen already; otherwise as :func:`evaluate`."""
    have = {"embeddings": labelled.embeddings is not None, "counts": labelled.counts is not None}
    require_methods(methods, **have)
    matrices = [m for m in (labelled.embeddings, labelled.counts) if m is not None]
    fold, notes = assign_folds(
        labelled.labels,
        labelled.cells,
        folds=folds,
        seed=seed,
        groups=labelled.groups,
        matrices=matrices,
    )
    predictions = []
    for name in methods:
        table, unconverged = _cross_validate(name, labelled, fold, seed=seed)
        predictions.append(table)
        notes += unconverged
    summary = {
        **labelled.summary,
        "methods": list(methods),
        "folds": folds,
        "seed": seed,
        "bootstrap_draws": draws,
        "warnings": labelled.warnings + notes,
    }
    for note in summary["warnings"]:
        log.warning("%s", note["text"])
    return _tabulate(predictions, labelled.classes, summary)


def require_methods(methods: Sequence[str], *, embeddings: bool, counts: bool) -> None:
    """Refuse methods that do not exist or lack what they work on (``E_CONFIG``)."""
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        found = f"'{unknown[0]}' is no method" if unknown else "methods are none or repeated"
        raise InputError("E_CONFIG", found, fix=f"choose from: {', '.join(METHODS)}")
    have = {"embedding": embeddings, "counts": counts, "labels": embeddings or counts}
    lacking = [name for name in methods if not have[METHODS[name].needs]]
    if lacking:
        needs = {"embedding": "embeddings", "counts": "raw counts", "labels": "cells"}
        raise InputError(
            "E_CONFIG",
            f"the method '{lacking[0]}' needs {needs[METHODS[lacking[0]].needs]}, and there are none",
            fix="give them, or leave the method out",
        )


def _cross_validate(
    name: str, labelled: Labelled, fold: np.ndarray, *, seed: int
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Out-of-fold predictions of one method, and its warnings."""
    method, classes = METHODS[name], labelled.classes
    features = labelled.features(method)
    probabilities = np.zeros((len(fold), len(classes)))
    notes = []
    for number in np.unique(fold):
        test = fold == number
        what = f"{name}, fold {number}"
        fitted, notes_of_fold = fit_quietly(
            method, features[~test], labelled.labels[~test], seed=seed, what=what
        )
        notes += notes_of_fold
        # a class without training cells keeps probability 0
        columns = np.searchsorted(classes, fitted.classes_)
        probabilities[np.ix_(test, columns)] = method.module.predict_proba(fitted, features[test])
    table = pd.DataFrame(
        {
            "cell": labelled.cells,
            "fold": fold,
            "method": name,
            "true": labelled.labels,
            "predicted": classes[probabilities.argmax(axis=1)],
        }
    )
    return pd.concat([table, probability_columns(probabilities, classes)], axis=1), notes


def fit_quietly(
    method: Method, X: Any, y: np.ndarray, *, seed: int, what: str
) -> tuple[Any, list[dict[str, str]]]:
    """Fit a method; a solver that stops short of its optimum becomes a warning of the result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = method.module.fit(X, y, seed=seed)
    notes = []
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            first_line = str(warning.message).splitlines()[0]
            notes.append({"id": "not-converged", "text": f"{what}: {first_line}"})
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return fitted, notes


def probability_columns(probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One column ``p_<class>`` a class."""
    return pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])


def _tabulate(
    predictions: list[pd.DataFrame], classes: np.ndarray, summary: dict[str, Any]
) -> Evaluation:
    options = {"seed": summary["seed"], "draws": summary["bootstrap_draws"]}
    by_method = dict(zip(summary["methods"], predictions, strict=True))
    metrics, classwise, confusions, comparisons = [], [], [], []
    for name, table in by_method.items():
        true, predicted = table["true"].to_numpy(), table["predicted"].to_numpy()
        metrics += [
            _tagged(summary_metrics(true[rows], predicted[rows], **options), method=name, fold=fold)
            for fold, rows in _folds(table["fold"].to_numpy())
        ]
        classwise.append(_tagged(per_class(true, predicted, classes, **options), method=name))
        confusions.append(_tagged(confusion(true, predicted, classes), method=name))
    for (name, table), (other, reference) in permutations(by_method.items(), 2):
        columns = [table["true"], table["predicted"], reference["predicted"]]
        difference = compare(*(column.to_numpy() for column in columns), **options)
        comparisons.append(_tagged(difference, method=name, reference=other))
    if not comparisons:  # of one method there are none, but the file has its header
        names = ["method", "reference", "metric", "difference", "low", "high"]
        comparisons.append(pd.DataFrame(columns=names))
    return Evaluation(
        metrics=pd.concat(metrics, ignore_index=True),
        per_class=pd.concat(classwise, ignore_index=True),
        confusion=pd.concat(confusions, ignore_index=True),
        comparisons=pd.concat(comparisons, ignore_index=True),
        predictions=pd.concat(predictions, ignore_index=True),
        summary=summary,
    )


def _folds(fold: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The pooled cells, then those of each fold."""
    whole = ("all", np.ones(len(fold), bool))
    return [whole, *((str(number), fold == number) for number in np.unique(fold))]


def _tagged(table: pd.DataFrame, **columns: str) -> pd.DataFrame:
    for position, (name, value) in enumerate(columns.items()):
        table.insert(position, name, value)
    return table


def write_evaluation(
    evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False
) -> None:
    """Write the tables to a folder, whole or not at all; it holds nothing else afterwards.

    ``metrics.tsv``, ``per_class.tsv``, ``confusion.tsv``, ``comparisons.tsv``,
    ``predictions.parquet`` and ``summary.json``, which has the others' sha256. In the TSV files a label that a spreadsheet
    would run as a formula has an apostrophe in front; the other two have it as it is.
    """
    files.refuse_existing(folder, overwrite=overwrite)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        for name in ("metrics", "per_class", "confusion", "comparisons"):
            write_tsv(getattr(evaluation, name), temporary / f"{name}.tsv")
        write_table(evaluation.predictions, temporary / "predictions.parquet", about={})
        tables = {path.name: files.sha256_file(path) for path in sorted(temporary.iterdir())}
        write_record(temporary / "summary.json", {**evaluation.summary, "tables": tables})

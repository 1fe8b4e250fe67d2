"""Cell types: judge methods on labelled cells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell import files
from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.evaluate.leaks import Side, about_leaks, require_no_leak
from aidocell.evaluate.metrics import DRAWS
from aidocell.evaluate.tables import write_tsv
from aidocell.progress import progress
from aidocell.records import write_record
from aidocell.tables import write_table
from aidocell.tasks.folds import Splits, cross_validation, given_files
from aidocell.tasks.judging import fit_quietly, judge, probability_columns, require_methods
from aidocell.tasks.labelled import Labelled, select
from aidocell.tasks.tabulate import Evaluation, tabulate

__all__ = [
    "TABLES",
    "Evaluation",
    "evaluate",
    "evaluate_labelled",
    "evaluate_split",
    "fit_quietly",
    "probability_columns",
    "require_methods",
    "write_evaluation",
]

log = logging.getLogger(__name__)

TABLES = ("metrics", "per_class", "confusion", "comparisons", "calibration")


def evaluate(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    *,
    methods: Sequence[str],
    embeddings: np.ndarray | None = None,
    counts: sparse.csr_matrix | None = None,
    groups: Sequence[object] | pd.Series | None = None,
    folds: int = 5,
    repeats: int = 1,
    leave_one_group_out: bool = False,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    max_cells: int | None = None,
    settings: Mapping[str, Any] | None = None,
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
    folds, repeats
        Number of folds, and of different splits into as many.
    leave_one_group_out
        Make each group a fold instead.
    seed
        For the split, the methods and the bootstrap.
    min_cells_per_class
        Classes with fewer cells are left out and counted.
    max_cells
        Where more cells are left, that many are drawn, every class by its share; None takes all.
    settings
        What some methods take besides: ``genes``, ``network``, ``reference``, as
        :class:`aidocell.baselines.Method` has them.
    draws
        Bootstrap draws behind each 95 % interval.

    Raises
    ------
    InputError
        ``E_LABEL_MISSING``, ``E_LABEL_CLASSES``, ``E_CELL_NAMES``, ``E_CONFIG``,
        ``E_MATRIX_SHAPE``, ``E_NOT_FINITE``, ``E_NEGATIVE``.
    """
    have = {"embeddings": embeddings is not None, "counts": counts is not None}
    require_methods(methods, **have, settings=settings)
    labelled = select(
        labels,
        cells,
        embeddings=embeddings,
        counts=counts,
        groups=groups,
        folds=None if leave_one_group_out else folds,
        min_cells_per_class=min_cells_per_class,
        max_cells=max_cells,
        seed=seed,
    )
    return evaluate_labelled(
        labelled,
        methods=methods,
        folds=folds,
        repeats=repeats,
        leave_one_group_out=leave_one_group_out,
        seed=seed,
        settings=settings,
        draws=draws,
    )


def evaluate_labelled(
    labelled: Labelled,
    *,
    methods: Sequence[str],
    folds: int = 5,
    repeats: int = 1,
    leave_one_group_out: bool = False,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    draws: int = DRAWS,
) -> Evaluation:
    """Cross-validate methods on cells that are chosen already; otherwise as :func:`evaluate`."""
    _require(methods, [labelled], settings)
    splits = cross_validation(
        labelled, folds=folds, repeats=repeats, leave_one_group_out=leave_one_group_out, seed=seed
    )
    return _evaluated(labelled, splits, methods, seed=seed, settings=settings, draws=draws)


def evaluate_split(
    train: Labelled,
    test: Labelled,
    *,
    valid: Labelled | None = None,
    methods: Sequence[str],
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    draws: int = DRAWS,
    allow_leaks: bool = False,
) -> Evaluation:
    """Judge methods that learn from `train` by `test`; both have the same columns of counts.

    Parameters
    ----------
    valid
        Cells for the early stopping of methods that take them: neither learned from nor judged by.
    allow_leaks
        Make donors and cells in two of the files a warning, for published splits that cannot be
        changed; ``summary["leaks"]`` says how many.
    methods, seed, settings, draws
        As of :func:`evaluate`.

    Raises
    ------
    InputError
        ``E_GROUP_LEAK``: a donor, or a cell by its counts (by its embedding where there are no
        counts), is in two of the files. ``E_CONFIG`` as of :func:`evaluate`.
    """
    given = {"training file": train, "test file": test, "validation file": valid}
    _require(methods, [train, test], settings)
    sides = [_side(what, one) for what, one in given.items() if one is not None]
    splits = given_files(train, test, valid)
    if valid is not None:
        splits.warnings.extend(_about_validation(methods, valid))
    if allow_leaks:
        splits.about["leaks"], notes = about_leaks(sides)
        splits.warnings.extend(notes)
    else:
        splits.warnings.extend(require_no_leak(sides))
    return _evaluated(train, splits, methods, seed=seed, settings=settings, draws=draws)


def _require(
    methods: Sequence[str], parts: Sequence[Labelled], settings: Mapping[str, Any] | None
) -> None:
    """Refuse what some of the parts has nothing for."""
    embeddings = all(part.embeddings is not None for part in parts)
    counts = all(part.counts is not None for part in parts)
    require_methods(methods, embeddings=embeddings, counts=counts, settings=settings)


def _about_validation(methods: Sequence[str], valid: Labelled) -> list[dict[str, str]]:
    """Refuse validation cells that a method cannot read; warn where none looks at them."""
    taking = [METHODS[name] for name in methods if "validation" in METHODS[name].takes]
    if any(valid.features(method) is None for method in taking):
        fix = "give their counts, or leave them out"
        raise InputError("E_CONFIG", "the validation file has no counts", fix=fix)
    if taking:
        return []
    return [{"id": "validation-unused", "text": "none of the methods looks at validation cells"}]


def _side(what: str, labelled: Labelled) -> Side:
    matrix = labelled.embeddings if labelled.counts is None else labelled.counts
    return Side(what, labelled.cells, labelled.groups, lambda: iter([matrix]))


def _evaluated(
    labelled: Labelled,
    splits: Splits,
    methods: Sequence[str],
    *,
    seed: int,
    settings: Mapping[str, Any] | None,
    draws: int,
) -> Evaluation:
    with _progress(methods, len(splits.folds)) as advance:
        judged = [
            judge(name, splits, seed=seed, settings=settings or {}, advance=advance)
            for name in methods
        ]
    unavailable = {one.method: one.unavailable for one in judged if one.predictions is None}
    notes = [note for one in judged for note in one.notes]
    if len(unavailable) == len(judged):
        notes.append({"id": "nothing-ran", "text": "none of the methods could run"})
    summary = {
        **labelled.summary,
        "methods": list(methods),
        "unavailable": unavailable,
        **splits.about,
        "seed": seed,
        "bootstrap_draws": draws,
        "warnings": labelled.warnings + splits.warnings + notes,
    }
    for note in summary["warnings"]:
        log.warning("%s", note["text"])
    return tabulate(judged, splits, summary, seed=seed, draws=draws)


def _progress(methods: Sequence[str], folds: int) -> AbstractContextManager[Callable[..., None]]:
    """A bar over fits; where a network is trained, that has bars of its own."""
    if any("network" in METHODS[name].takes for name in methods):
        return nullcontext(lambda done: None)
    return progress("Judging methods", len(methods) * folds, unit="fits")


def write_evaluation(
    evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False
) -> None:
    """Write the tables to a folder, whole or not at all; it holds nothing else afterwards.

    The :data:`TABLES` as ``NAME.tsv``, ``predictions.parquet``, and ``summary.json``, which has the
    others' sha256. In the TSV files a label that a spreadsheet would run as a formula has an
    apostrophe in front; the other two have it as it is. Run times, which differ each time, go to
    the log.
    """
    files.refuse_existing(folder, overwrite=overwrite)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        for name in TABLES:
            write_tsv(getattr(evaluation, name), temporary / f"{name}.tsv")
        write_table(evaluation.predictions, temporary / "predictions.parquet", about={})
        tables = {path.name: files.sha256_file(path) for path in sorted(temporary.iterdir())}
        write_record(temporary / "summary.json", {**evaluation.summary, "tables": tables})
    times = evaluation.run_times.groupby("method", sort=False)[["fit_seconds", "predict_seconds"]]
    for method, seconds in times.sum().iterrows():
        log.info("%s: %.1f s of fitting, %.1f s of predicting", method, *seconds)

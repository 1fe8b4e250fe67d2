"""Annotation from stores to files: what the command line and the workflow call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell import files
from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.provenance import require_same
from aidocell.seal import read_seal
from aidocell.tables import write_table
from aidocell.tasks.annotate import (
    Evaluation,
    evaluate_labelled,
    require_methods,
    write_evaluation,
)
from aidocell.tasks.classifier import Classifier, apply, embedding_of
from aidocell.tasks.classifier_folder import load_classifier, save_classifier
from aidocell.tasks.labelled import MAX_CELLS, Labelled, choose
from aidocell.tasks.stored import StoredCells, stored_counts, stored_embeddings
from aidocell.tasks.train import require_trainable, train_labelled

__all__ = ["annotate_apply", "annotate_evaluate", "annotate_train"]


def annotate_evaluate(
    output: str | Path,
    *,
    label: str,
    embeddings: Sequence[str | Path] = (),
    counts: Sequence[str | Path] = (),
    samples: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    group: str | None = None,
    folds: int = 5,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    max_cells: int | None = MAX_CELLS,
    overwrite: bool = False,
) -> Evaluation:
    """Cross-validate methods on labelled stores and write the tables.

    Parameters
    ----------
    output
        Folder of the tables; with `overwrite` it is replaced as a whole.
    label, group
        Columns of the cells. With `samples`, ``sample`` is a column too.
    embeddings, counts
        ``embeddings.zarr.zip`` and ``counts.zarr.zip`` of the same samples in the same order;
        either may be left out. The cells are those of the embeddings, if there are any.
    samples
        Names of the samples: cells are then called ``<sample>:<barcode>``.
    methods
        Keys of :data:`aidocell.baselines.METHODS`; None means all that the stores allow.
    max_cells
        Of more labelled cells that many are drawn, every class by its share, and only their rows
        are read; None takes all. All methods work on the same cells.

    Raises
    ------
    InputError
        As :func:`aidocell.tasks.annotate.evaluate`, and ``E_STORE_MISMATCH``,
        ``E_STORE_DAMAGED``, ``E_OUTPUT_EXISTS``.
    """
    files.refuse_existing(output, overwrite=overwrite)
    embedded = stored_embeddings(embeddings, samples) if embeddings else None
    counted = stored_counts(counts, samples) if counts else None
    cells = embedded or counted
    if cells is None:
        raise InputError("E_CONFIG", "there are no cells", fix="give embeddings or counts")
    available = {"embedding": embedded, "counts": counted, "labels": cells}
    quick = [name for name, m in METHODS.items() if m.quick and available[m.needs]]
    methods = methods or quick
    require_methods(methods, embeddings=embedded is not None, counts=counted is not None)
    chosen = choose(
        cells.column(label, "--label"),
        cells.names,
        groups=cells.column(group, "--group") if group else None,
        folds=folds,
        min_cells_per_class=min_cells_per_class,
        max_cells=max_cells,
        seed=seed,
    )
    labelled = chosen.with_matrices(
        embeddings=embedded.vectors(chosen.rows) if embedded else None,
        counts=counted.counts(_matched(counted, embedded, chosen.rows)) if counted else None,
    )
    result = evaluate_labelled(labelled, methods=methods, folds=folds, seed=seed)
    result.summary.update({"label": label, "group": group})
    result.summary["embedding"] = embedding_of(embedded.provenances[0]) if embedded else None
    result.summary["embeddings"] = [read_seal(Path(path)) for path in embeddings]
    write_evaluation(result, output, overwrite=overwrite)
    return result


def annotate_train(
    embeddings: Sequence[str | Path],
    output: str | Path,
    *,
    label: str,
    samples: Sequence[str] | None = None,
    method: str = "logistic",
    group: str | None = None,
    folds: int = 5,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    max_cells: int | None = MAX_CELLS,
    overwrite: bool = False,
) -> Classifier:
    """Train a classifier on labelled embeddings, judge it by cross-validation, write its folder.

    Parameters as in :func:`annotate_evaluate`; `method` is ``logistic`` or ``knn``.
    """
    require_trainable(method)
    files.refuse_existing(output, overwrite=overwrite)
    cells = stored_embeddings(embeddings, samples)
    conditions = {"min_cells_per_class": min_cells_per_class, "max_cells": max_cells, "seed": seed}
    labels = cells.column(label, "--label")
    groups = cells.column(group, "--group") if group else None
    judged = evaluate_labelled(
        _labelled(cells, labels, groups=groups, folds=folds, **conditions),
        methods=[method, "majority"],
        folds=folds,
        seed=seed,
    )
    judged.summary.update({"label": label, "group": group})
    classifier = train_labelled(
        _labelled(cells, labels, **conditions),
        method=method,
        label=label,
        provenance=cells.provenances[0],
        seed=seed,
        evaluation=judged,
    )
    save_classifier(classifier, output, overwrite=overwrite)
    return classifier


def annotate_apply(
    embeddings: Sequence[str | Path],
    output: str | Path,
    *,
    classifier: str | Path,
    samples: Sequence[str] | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Label the cells of stores and write a Parquet table, whole or not at all."""
    files.refuse_existing(output, overwrite=overwrite)
    loaded = load_classifier(classifier)
    cells = stored_embeddings(embeddings, samples)
    where = ", ".join(str(path) for path in embeddings)
    vectors = cells.vectors(np.arange(len(cells.names)))
    table = apply(loaded, vectors, cells.names, provenance=cells.provenances[0], where=where)
    write_table(table, output, about={"embedding": embedding_of(cells.provenances[0])})
    return table


def _labelled(cells: StoredCells, labels: pd.Series, **conditions: Any) -> Labelled:
    """The embedded cells that are chosen under these conditions."""
    chosen = choose(labels, cells.names, **conditions)
    return chosen.with_matrices(embeddings=cells.vectors(chosen.rows))


def _matched(counted: StoredCells, embedded: StoredCells | None, rows: np.ndarray) -> np.ndarray:
    """Where the counts of embedded cells are; refuses counts of something else."""
    if embedded is None:
        return rows
    for made_from, found in zip(embedded.provenances, counted.provenances, strict=True):
        digests = (made_from["counts_digest"], found["counts_digest"])
        require_same("counts digest", *digests, where="the counts")
    wanted = embedded.names[rows]
    places = counted.names.get_indexer(wanted)
    if (places < 0).any():
        raise InputError(
            "E_STORE_MISMATCH",
            f"the counts lack {(places < 0).sum()} of the embedded cells "
            f"(first: {wanted[places < 0][0]})",
            fix="give the counts that the embeddings were made from",
        )
    return places

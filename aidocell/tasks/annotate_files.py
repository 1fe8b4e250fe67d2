"""Annotation from stores to files: what the command line and the workflow call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell import files
from aidocell.tables import write_table
from aidocell.tasks.annotate import evaluate_labelled
from aidocell.tasks.classifier import Classifier, apply, embedding_of
from aidocell.tasks.classifier_folder import load_classifier, save_classifier
from aidocell.tasks.labelled import MAX_CELLS, Labelled, choose
from aidocell.tasks.stored import StoredCells, stored_embeddings
from aidocell.tasks.train import require_trainable, train_labelled

__all__ = ["annotate_apply", "annotate_train"]


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

    Parameters as in :func:`aidocell.tasks.evaluate_files.annotate_evaluate`; `method` is ``logistic`` or ``knn``.
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

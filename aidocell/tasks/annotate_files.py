"""Annotation from stores to files: what the command line and the workflow call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell import files
from aidocell.tables import write_table
from aidocell.tasks.annotate import evaluate_labelled
from aidocell.tasks.classifier import Classifier, apply, embedding_of, flag_unknown
from aidocell.tasks.classifier_folder import load_classifier, read_content, save_classifier
from aidocell.tasks.labelled import MAX_CELLS, Labelled, choose, require_other_group
from aidocell.tasks.ontology import default_column, ontology_of
from aidocell.tasks.stored import StoredCells, stored_embeddings
from aidocell.tasks.train import require_trainable, train_labelled
from aidocell.tasks.unknown import KNOWN_COVERAGE

__all__ = ["annotate_apply", "annotate_apply_counts", "annotate_train"]

log = logging.getLogger(__name__)


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
    known_coverage: float = KNOWN_COVERAGE,
    ontology: str | None = None,
    overwrite: bool = False,
) -> Classifier:
    """Train a classifier on labelled embeddings, judge it by cross-validation, write its folder.

    Parameters as in :func:`aidocell.tasks.evaluate_files.annotate_evaluate`, and

    Parameters
    ----------
    method
        One of :data:`aidocell.tasks.classifier.TRAINABLE`.
    known_coverage
        Share of known cells that has to keep its label when the threshold of unknown cells is
        chosen.
    ontology
        Column with Cell Ontology ids; without it that of CELLxGENE files, if the cells have it.
    """
    require_trainable(method)
    files.refuse_existing(output, overwrite=overwrite)
    require_other_group(label, group)
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
    labelled = _labelled(cells, labels, **conditions)
    classifier = train_labelled(
        labelled,
        method=method,
        label=label,
        provenance=cells.provenances[0],
        seed=seed,
        evaluation=judged,
        known_coverage=known_coverage,
        ontology=_ontology(cells, labelled, label, ontology),
    )
    save_classifier(classifier, output, overwrite=overwrite)
    return classifier


def annotate_apply(
    embeddings: Sequence[str | Path],
    output: str | Path,
    *,
    classifier: str | Path,
    samples: Sequence[str] | None = None,
    unknown: bool = True,
    unknown_threshold: float | None = None,
    vote: bool = False,
    seed: int = 0,
    where: str | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Label the cells of stores and write a Parquet table, whole or not at all.

    Columns and options as of :func:`aidocell.tasks.classifier.apply`; without `where` messages
    name the stores.
    """
    files.refuse_existing(output, overwrite=overwrite)
    loaded = load_classifier(classifier)
    cells = stored_embeddings(embeddings, samples)
    table = apply(
        loaded,
        cells.vectors(np.arange(len(cells.names))),
        cells.names,
        provenance=cells.provenances[0],
        where=where or ", ".join(str(path) for path in embeddings),
        unknown=unknown,
        unknown_threshold=unknown_threshold,
        vote=vote,
        seed=seed,
    )
    made_from = {
        "embedding": embedding_of(cells.provenances[0]),
        "classifier": read_content(Path(classifier))["arrays_sha256"],
    }
    write_table(table, output, about={**made_from, **table.attrs})
    return table


def annotate_apply_counts(
    counts: Sequence[str | Path],
    output: str | Path,
    *,
    classifier: str | Path,
    samples: Sequence[str] | None = None,
    unknown: bool = True,
    unknown_threshold: float | None = None,
    overwrite: bool = False,
    **runtime: Any,
) -> pd.DataFrame:
    """Label the cells of stores of counts by a fine-tuned network; otherwise as :func:`annotate_apply`.

    Such a network has no threshold of its own: cells beyond distance 1 are unknown, or instead
    those below a threshold that is given. Where no cells were set apart in its training there are
    no distances, that column is missing in every row, and no cell is unknown.

    Parameters
    ----------
    counts
        ``counts.zarr.zip`` over the network's genes.
    runtime
        As of :func:`aidocell.train.finetuned.predict_counts`.
    """
    from aidocell.train.finetuned import predict_counts

    files.refuse_existing(output, overwrite=overwrite)
    table, content = predict_counts(classifier, counts, samples=samples, **runtime)
    table = flag_unknown(
        table,
        threshold=None,
        far=content["similarity"] is not None,
        unknown=unknown,
        unknown_threshold=unknown_threshold,
    )
    head = files.sha256_file(Path(classifier) / "head.safetensors")
    made_from = {"classifier": head, "base": content["base"]}
    write_table(table, output, about={**made_from, **table.attrs})
    return table


def _ontology(
    cells: StoredCells, labelled: Labelled, label: str, column: str | None
) -> dict[str, str]:
    """Cell Ontology ids of the classes, by the named column or one that is found."""
    column = column or default_column(label, cells.columns)
    if column is None:
        return {}
    terms = cells.column(column, "--ontology").loc[labelled.cells]
    ids, notes = ontology_of(labelled.labels, terms)
    for note in notes:
        log.warning("%s", note["text"])
    if not ids:
        log.warning("the column '%s' gives no class a Cell Ontology id", column)
    return ids


def _labelled(cells: StoredCells, labels: pd.Series, **conditions: Any) -> Labelled:
    """The embedded cells that are chosen under these conditions."""
    chosen = choose(labels, cells.names, **conditions)
    return chosen.with_matrices(embeddings=cells.vectors(chosen.rows))

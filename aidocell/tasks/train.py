"""Train a classifier on labelled embeddings."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aidocell.baselines import METHODS
from aidocell.baselines.knn import NEIGHBOURS
from aidocell.errors import InputError
from aidocell.provenance import REVISION, VERSION
from aidocell.tasks.annotate import Evaluation, fit_quietly
from aidocell.tasks.calibration import FLOOR, calibrate
from aidocell.tasks.classifier import TRAINABLE, Classifier, embedding_of
from aidocell.tasks.classifier_folder import FORMAT
from aidocell.tasks.heldout import held_out
from aidocell.tasks.labelled import Labelled, select
from aidocell.tasks.similarity import learn_similarity
from aidocell.tasks.unknown import KNOWN_COVERAGE, choose_threshold

__all__ = ["require_trainable", "train", "train_labelled"]

log = logging.getLogger(__name__)

# Neighbours vote by fifths, and none is often no more than bad luck: a quarter of a vote.
_FLOORS = {"knn": 1 / (4 * NEIGHBOURS)}


def train(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    embeddings: np.ndarray,
    *,
    method: str,
    label: str,
    provenance: Mapping[str, Any],
    seed: int = 0,
    min_cells_per_class: int | None = None,
    evaluation: Evaluation | None = None,
    known_coverage: float = KNOWN_COVERAGE,
    ontology: Mapping[str, str] | None = None,
) -> Classifier:
    """Fit a method on all labelled cells; their order does not matter.

    Parameters
    ----------
    labels
        Class of each cell; cells without one are left out.
    embeddings
        Shape ``(cells, hidden)``.
    method
        One of :data:`aidocell.tasks.classifier.TRAINABLE`.
    label
        Name of the column, for the card.
    provenance
        Of the embeddings (``uns["aidocell"]``): `model`, `genes_sha256`, `options`.
    evaluation
        How the method did in cross-validation on these cells. Without it nothing was held out, so
        that probabilities are not calibrated, no cell is called unknown and there are no
        distances.
    known_coverage
        Share of known cells that has to keep its label when the threshold of unknown cells is
        chosen.
    ontology
        Cell Ontology id of each class that has one.

    Raises
    ------
    InputError
        ``E_CONFIG``: a method that cannot be kept as arrays; and as for
        :func:`aidocell.tasks.annotate.evaluate`.
    """
    labelled = select(labels, cells, embeddings=embeddings, min_cells_per_class=min_cells_per_class)
    return train_labelled(
        labelled,
        method=method,
        label=label,
        provenance=provenance,
        seed=seed,
        evaluation=evaluation,
        known_coverage=known_coverage,
        ontology=ontology,
    )


def train_labelled(
    labelled: Labelled,
    *,
    method: str,
    label: str,
    provenance: Mapping[str, Any],
    seed: int = 0,
    evaluation: Evaluation | None = None,
    known_coverage: float = KNOWN_COVERAGE,
    ontology: Mapping[str, str] | None = None,
) -> Classifier:
    """Fit a method on cells that are chosen already; otherwise as :func:`train`."""
    require_trainable(method)
    X, y = labelled.embeddings, labelled.labels
    fitted, notes = fit_quietly(METHODS[method], X, y, seed=seed, what=method)
    arrays = METHODS[method].module.to_arrays(fitted, X, y)
    honesty = {"calibration": None, "unknown": None, "similarity": None}
    if evaluation is not None:
        chosen = {"method": method, "known_coverage": known_coverage, "seed": seed}
        added, honesty, more = _from_held_out(evaluation, labelled, **chosen)
        arrays, notes = {**arrays, **added}, notes + more
    # those of the cells were told when they were judged
    for note in notes if evaluation is not None else labelled.warnings + notes:
        log.warning("%s", note["text"])
    content = {
        "format": FORMAT,
        "version": VERSION,
        "revision": REVISION["annotate"],
        "method": method,
        "classes": labelled.classes.tolist(),
        "support": [labelled.summary["labels"][name] for name in labelled.classes],
        "embedding": embedding_of(provenance),
        "training": {
            "label": label,
            "cells": len(y),
            "sha256": _digest(labelled),
            "seed": seed,
            **_conditions(evaluation),
            "warnings": labelled.warnings + notes,
        },
        "metrics": _pooled(evaluation),
        "ontology": dict(ontology or {}),
        **honesty,
    }
    return Classifier(arrays, content)


def _from_held_out(
    evaluation: Evaluation, labelled: Labelled, *, method: str, **options: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any], list[dict[str, str]]]:
    """Temperature, threshold and unit of distance, and the arrays that the last needs."""
    held = held_out(evaluation, method, labelled)
    floor = _FLOORS.get(method, FLOOR)
    calibration = calibrate(held.probabilities, held.labels, labelled.classes, floor=floor)
    arrays, similarity, distance = learn_similarity(held, labelled)
    unknown, notes = choose_threshold(
        held,
        labelled,
        method=method,
        calibration=calibration,
        distance=distance,
        unit=similarity["unit"],
        **options,
    )
    content = {"calibration": calibration, "unknown": unknown, "similarity": similarity}
    return arrays, content, notes


def require_trainable(method: str) -> None:
    """Refuse a method that cannot be kept as arrays (``E_CONFIG``)."""
    if method not in TRAINABLE:
        raise InputError(
            "E_CONFIG",
            f"'{method}' cannot be trained as a classifier",
            fix=f"choose {', '.join(TRAINABLE[:-1])} or {TRAINABLE[-1]}",
        )


def _digest(labelled: Labelled) -> str:
    """Hex sha256 of names, labels and embeddings; independent of the cells' order."""
    names = json.dumps([labelled.cells.tolist(), labelled.labels.tolist()]).encode()
    vectors = np.ascontiguousarray(labelled.embeddings, dtype=np.float32)
    return hashlib.sha256(hashlib.sha256(names).digest() + vectors.tobytes()).hexdigest()


def _conditions(evaluation: Evaluation | None) -> dict[str, Any]:
    if evaluation is None:
        return {}
    return {"folds": evaluation.summary["folds"], "group": evaluation.summary.get("group")}


def _pooled(evaluation: Evaluation | None) -> list[dict[str, Any]]:
    if evaluation is None:
        return []
    pooled = evaluation.metrics.query("fold == 'all'")
    return pooled[["method", "metric", "value", "low", "high"]].to_dict("records")

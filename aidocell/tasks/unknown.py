"""Cells of a type that the classifier never saw: below which probability a cell is `unknown`.

Every class in turn is held out: a classifier trained without it meets its cells, which are then of
an unknown type. The threshold is chosen on how sure it was of them, against how sure it was of
cells of known types that it had not learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.evaluate.draw import draw_cells
from aidocell.tasks.annotate import fit_quietly
from aidocell.tasks.calibration import calibrated
from aidocell.tasks.heldout import HeldOut
from aidocell.tasks.labelled import Labelled
from aidocell.tasks.similarity import distances, whitened_classes

__all__ = ["KNOWN_COVERAGE", "MOST_CELLS", "MOST_CLASSES", "choose_threshold", "threshold_curve"]

KNOWN_COVERAGE = 0.9
MOST_CELLS, MOST_CLASSES = 5_000, 20  # that held-out classes are learned without, and of these
_STEPS = 100
_AT_LEAST = 10  # cells of a class that is drawn from


def choose_threshold(
    held: HeldOut,
    labelled: Labelled,
    *,
    method: str,
    calibration: Mapping[str, Any] | None,
    unit: float,
    known_coverage: float = KNOWN_COVERAGE,
    seed: int = 0,
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Choose the probability below which a cell is called unknown.

    Of all thresholds that leave at least `known_coverage` of the known cells their label, the one
    with the best balanced accuracy of unknown against known, averaged over held-out classes; of
    equal ones the lowest. Of more than :data:`MOST_CELLS` cells that many are drawn, every class
    by its share, and of more than :data:`MOST_CLASSES` classes that many are held out.

    Parameters
    ----------
    held
        What the method said of known cells that it had not learned from.
    labelled
        All labelled cells, with embeddings.
    calibration
        That its probabilities are calibrated by.
    unit
        Of distance, as of :func:`aidocell.tasks.similarity.learn_similarity`.
    known_coverage
        Between 0 and 1.

    Returns
    -------
    unknown
        ``threshold``, ``known_coverage`` (as asked), the figures at the threshold, ``curve`` (a
        list of the rows of :func:`threshold_curve`) and ``classes``: of each the ``coverage`` of
        its own cells, and of them when it was held out the share ``flagged`` and the share
        ``far``, at a distance beyond 1 from the other classes. None of fewer than three classes.
    warnings
        ``{"id", "text"}`` each.
    """
    if not 0 <= known_coverage <= 1:
        what = f"known coverage is {known_coverage:g}"
        raise InputError("E_CONFIG", what, fix="give a share between 0 and 1")
    if len(labelled.classes) < 3:
        text = (
            "two classes are too few to hold one out, so no cell can be told to be of neither: "
            "every cell gets one of them"
        )
        return None, [{"id": "no-threshold", "text": text}]
    known = calibrated(held.probabilities, calibration).max(axis=1)
    strangers, notes = _strangers(
        labelled, method=method, calibration=calibration, unit=unit, seed=seed
    )
    tops = {name: one.sure for name, one in strangers.items()}
    curve = threshold_curve(known, held.labels, held.right, tops)
    allowed = curve[curve["coverage"] >= known_coverage]
    best = allowed.loc[allowed["balanced_accuracy"].idxmax()]
    if best["balanced_accuracy"] <= 0.5:
        text = "cells of held-out classes were called with no less confidence than known ones"
        notes.append(
            {"id": "unknown-not-told", "text": f"{text}: unknown types are not recognised"}
        )
    found = {
        **best.to_dict(),
        "known_coverage": float(known_coverage),
        "cells": len(known),
        "curve": curve.to_dict("records"),
        "classes": _by_class(known, held.labels, strangers, labelled.classes, best["threshold"]),
    }
    return found, notes


def threshold_curve(
    known: np.ndarray, labels: np.ndarray, right: np.ndarray, strangers: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """What each threshold keeps and flags; a cell is flagged where its probability is below it.

    Parameters
    ----------
    known
        Largest probability of known cells, with their `labels`, and whether each was called right.
    strangers
        The same of the cells of each class that was held out.

    Returns
    -------
    curve
        ``threshold`` (0, then those that flag another hundredth of the known cells); ``coverage``,
        the share of known cells that keep their label; ``flagged``, the share of cells of held-out
        classes that are called unknown, and ``balanced_accuracy``, the mean of ``flagged`` and the
        coverage of the other classes' cells, both averaged over held-out classes; ``accuracy`` of
        the known cells that keep their label.
    """
    places = np.arange(_STEPS) * len(known) // _STEPS
    thresholds = np.unique([0.0, *np.sort(known)[places]])
    kept = known >= thresholds[:, None]
    flagged = np.array([(tops < thresholds[:, None]).mean(axis=1) for tops in strangers.values()])
    others = np.array([kept[:, labels != name].mean(axis=1) for name in strangers])
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "coverage": kept.mean(axis=1),
            "flagged": flagged.mean(axis=0),
            "balanced_accuracy": ((flagged + others) / 2).mean(axis=0),
            "accuracy": (kept & right).sum(axis=1) / kept.sum(axis=1),
        }
    )


@dataclass(frozen=True)
class _Strangers:
    """Cells of a class that was held out: their largest probabilities, and which lie far away."""

    sure: np.ndarray
    far: np.ndarray


def _strangers(
    labelled: Labelled,
    *,
    method: str,
    calibration: Mapping[str, Any] | None,
    unit: float,
    seed: int,
) -> tuple[dict[str, _Strangers], list[dict[str, str]]]:
    """The cells of each class, met by a classifier that was trained without it."""
    drawn = draw_cells(labelled.labels, MOST_CELLS, seed=seed, at_least=_AT_LEAST)
    X, y = labelled.embeddings[drawn], labelled.labels[drawn]
    names = labelled.classes
    if len(names) > MOST_CLASSES:
        chosen = np.random.default_rng(seed).choice(len(names), MOST_CLASSES, replace=False)
        names = names[np.sort(chosen)]
    found, notes = {}, []
    for name in names:
        out = y == name
        what = f"{method}, without '{name}'"
        fitted, own = fit_quietly(METHODS[method], X[~out], y[~out], seed=seed, what=what)
        probabilities = METHODS[method].module.predict_proba(fitted, X[out])
        found[name] = _Strangers(
            calibrated(probabilities, calibration).max(axis=1),
            distances(whitened_classes(X[~out], y[~out]), X[out]) > unit,
        )
        notes += own
    return found, notes


def _by_class(
    known: np.ndarray,
    labels: np.ndarray,
    strangers: Mapping[str, _Strangers],
    classes: np.ndarray,
    threshold: float,
) -> list[dict[str, Any]]:
    """Of each class the share that keeps its label, and the share flagged when it was held out."""
    rows = []
    for name in classes:
        own, met = known[labels == name], strangers.get(name)
        rows.append(
            {
                "class": name,
                "coverage": float((own >= threshold).mean()) if len(own) else None,
                "flagged": None if met is None else float((met.sure < threshold).mean()),
                "far": None if met is None else float(met.far.mean()),
            }
        )
    return rows

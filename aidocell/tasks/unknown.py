"""Cells of a type that the classifier never saw: when a cell is `unknown`.

Every class in turn is held out: a classifier trained without it meets its cells, which are then of
an unknown type. The rule is chosen on how sure it was of them and how far they lay, against cells
of known types that it had not learned from.
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
    distance: np.ndarray,
    unit: float,
    known_coverage: float = KNOWN_COVERAGE,
    seed: int = 0,
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Choose the probability below which a cell is unknown, and whether one that lies far is too.

    Of all thresholds that leave at least `known_coverage` of the known cells their label, by
    probability alone and with cells beyond distance 1 flagged besides, the one with the best
    balanced accuracy of unknown against known, averaged over held-out classes; of equal ones
    probability alone, and the lowest. Of more than :data:`MOST_CELLS` cells that many are drawn, every class
    by its share, and of more than :data:`MOST_CLASSES` classes that many are held out.

    Parameters
    ----------
    held
        What the method said of known cells that it had not learned from.
    labelled
        All labelled cells, with embeddings.
    calibration
        That its probabilities are calibrated by.
    distance, unit
        Of the cells of `held`, in units, and the unit, as of
        :func:`aidocell.tasks.similarity.learn_similarity`.
    known_coverage
        Between 0 and 1.

    Returns
    -------
    unknown
        ``threshold``, ``far_is_unknown``, ``known_coverage`` (as asked), the figures at the
        threshold, ``curve`` (a list of the rows of :func:`threshold_curve`, first by probability
        alone, then with far cells flagged) and ``classes``: of each the ``coverage`` of
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
    known = _Met(calibrated(held.probabilities, calibration).max(axis=1), distance > 1)
    strangers, notes = _strangers(
        labelled, method=method, calibration=calibration, unit=unit, seed=seed
    )
    curve = pd.concat(
        [_curve(held, known, strangers, far_is_unknown=rule) for rule in (False, True)],
        ignore_index=True,
    )
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
        "cells": len(held.rows),
        "curve": curve.to_dict("records"),
        "classes": _by_class(known, held.labels, strangers, labelled.classes, best),
    }
    return found, notes


def _curve(
    held: HeldOut, known: _Met, strangers: Mapping[str, _Met], *, far_is_unknown: bool
) -> pd.DataFrame:
    """The curve of one rule; the column `far_is_unknown` names it."""
    sure = {name: met.sureness(far_is_unknown) for name, met in strangers.items()}
    curve = threshold_curve(known.sureness(far_is_unknown), held.labels, held.right, sure)
    curve.insert(1, "far_is_unknown", far_is_unknown)
    return curve


def threshold_curve(
    known: np.ndarray, labels: np.ndarray, right: np.ndarray, strangers: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """What each threshold keeps and flags; a cell is flagged where its probability is below it.

    Parameters
    ----------
    known
        Largest probability of known cells, with their `labels`, and whether each was called right;
        -1 of a cell that is flagged at every threshold.
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
    thresholds = np.unique([0.0, *np.sort(known)[places].clip(0)])
    kept = known >= thresholds[:, None]
    flagged = np.array([(tops < thresholds[:, None]).mean(axis=1) for tops in strangers.values()])
    others = np.array([kept[:, labels != name].mean(axis=1) for name in strangers])
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "coverage": kept.mean(axis=1),
            "flagged": flagged.mean(axis=0),
            "balanced_accuracy": ((flagged + others) / 2).mean(axis=0),
            "accuracy": (kept & right).sum(axis=1) / kept.sum(axis=1).clip(1),
        }
    )


@dataclass(frozen=True)
class _Met:
    """Cells that a classifier had not learned from: largest probabilities, and which lie far."""

    sure: np.ndarray
    far: np.ndarray

    def sureness(self, far_is_unknown: bool) -> np.ndarray:
        """What a threshold is held against; less than any where a cell is unknown for its distance."""
        return np.where(self.far, -1.0, self.sure) if far_is_unknown else self.sure


def _strangers(
    labelled: Labelled,
    *,
    method: str,
    calibration: Mapping[str, Any] | None,
    unit: float,
    seed: int,
) -> tuple[dict[str, _Met], list[dict[str, str]]]:
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
        found[name] = _Met(
            calibrated(probabilities, calibration).max(axis=1),
            distances(whitened_classes(X[~out], y[~out]), X[out]) > unit,
        )
        notes += own
    return found, notes


def _by_class(
    known: _Met,
    labels: np.ndarray,
    strangers: Mapping[str, _Met],
    classes: np.ndarray,
    best: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Of each class the share that keeps its label, and the share flagged when it was held out."""
    threshold, rule, rows = best["threshold"], best["far_is_unknown"], []
    for name in classes:
        own, met = known.sureness(rule)[labels == name], strangers.get(name)
        rows.append(
            {
                "class": name,
                "coverage": float((own >= threshold).mean()) if len(own) else None,
                "flagged": None if met is None else float((met.sureness(rule) < threshold).mean()),
                "far": None if met is None else float(met.far.mean()),
            }
        )
    return rows

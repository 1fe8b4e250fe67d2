"""Which cells a method learns from and which judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from aidocell.baselines import Method
from aidocell.errors import InputError, first_few
from aidocell.evaluate.splits import assign_groups, assign_repeated_folds
from aidocell.tasks.labelled import Labelled

__all__ = ["Fold", "Part", "Splits", "cross_validation", "given_files"]


@dataclass(frozen=True)
class Part:
    """Some of the labelled cells."""

    labelled: Labelled = field(repr=False)
    rows: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Their names."""
        return self.labelled.cells[self.rows]

    @property
    def labels(self) -> np.ndarray:
        """Their classes."""
        return self.labelled.labels[self.rows]

    @property
    def groups(self) -> np.ndarray | None:
        """Their donors or batches."""
        return None if self.labelled.groups is None else self.labelled.groups[self.rows]

    def features(self, method: Method) -> np.ndarray | sparse.csr_matrix:
        """What `method` works on."""
        return self.labelled.features(method)[self.rows]


@dataclass(frozen=True)
class Fold:
    """One fit and one judgement; `validation` is for early stopping and in neither part."""

    number: int
    train: Part
    test: Part
    validation: Part | None = None


@dataclass(frozen=True)
class Splits:
    """All folds, and what is to be said of them.

    Attributes
    ----------
    folds
        With repeats those of the first come first; each repeat judges every cell once.
    classes
        Sorted names of all classes.
    about
        For ``summary.json``.
    warnings
        ``{"id", "text"}`` each.
    """

    folds: list[Fold]
    classes: np.ndarray
    about: dict[str, Any]
    warnings: list[dict[str, str]]


def cross_validation(
    labelled: Labelled,
    *,
    folds: int = 5,
    repeats: int = 1,
    leave_one_group_out: bool = False,
    seed: int = 0,
) -> Splits:
    """Split the cells by label, and by group where they have one.

    Repeat r of R has the numbers ``(r - 1) * folds + 1`` to ``r * folds``. With
    `leave_one_group_out` each group is a fold, numbered in the order of their names.
    """
    matrices = [m for m in (labelled.embeddings, labelled.counts) if m is not None]
    given = {"groups": labelled.groups, "matrices": matrices}
    about: dict[str, Any] = {"groups_of_fold": None}
    if leave_one_group_out:
        _require_groups(labelled, repeats)
        fold, members, notes = assign_groups(labelled.labels, labelled.cells, **given)
        about["groups_of_fold"] = {str(n): names for n, names in enumerate(members, start=1)}
        repeated, folds = fold[None], len(members)
    else:
        repeated, notes = assign_repeated_folds(
            labelled.labels, labelled.cells, folds=folds, repeats=repeats, seed=seed, **given
        )
    about |= {"split": "folds", "folds": folds, "repeats": repeats}
    if leave_one_group_out:
        about["split"] = "groups"
    parts = [
        Fold(
            repeat * folds + number,
            _part(labelled, fold != number),
            _part(labelled, fold == number),
        )
        for repeat, fold in enumerate(repeated)
        for number in range(1, folds + 1)
    ]
    return Splits(parts, labelled.classes, about, notes)


def given_files(train: Labelled, test: Labelled, valid: Labelled | None = None) -> Splits:
    """One fold: learn from these cells, judge by those."""
    whole = [
        None if one is None else _part(one, np.ones(len(one.cells), bool))
        for one in (train, test, valid)
    ]
    about = {
        "split": "files",
        "folds": 1,
        "repeats": 1,
        "groups_of_fold": None,
        "test": test.summary,
        "validation": None if valid is None else valid.summary,
    }
    classes = np.union1d(train.classes, test.classes)
    notes = [
        *_about_classes(np.setdiff1d(test.classes, train.classes), "judged by, but never learned"),
        *_about_classes(np.setdiff1d(train.classes, test.classes), "learned, but never judged by"),
    ]
    for what, one in (("test file", test), ("validation file", valid)):
        notes += [{**w, "text": f"{what}: {w['text']}"} for w in (one.warnings if one else [])]
    return Splits([Fold(1, *whole)], classes, about, notes)


def _part(labelled: Labelled, mask: np.ndarray) -> Part:
    return Part(labelled, np.flatnonzero(mask))


def _require_groups(labelled: Labelled, repeats: int) -> None:
    if labelled.groups is None:
        fix = "name their column with --group (annotate.group)"
        raise InputError("E_CONFIG", "there are no groups to leave out", fix=fix)
    if repeats != 1:
        what = "each group is left out once, so that this cannot be repeated"
        raise InputError("E_CONFIG", what, fix="give 1 repeat")


def _about_classes(names: Sequence[str], what: str) -> list[dict[str, str]]:
    if not len(names):
        return []
    listed = first_few([f"'{name}'" for name in names])
    return [{"id": "class-in-one-file", "text": f"classes of one file alone, {what}: {listed}"}]

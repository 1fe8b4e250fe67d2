"""Cells or donors in two files that should have none in common."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Protocol

import numpy as np
from scipy import sparse

from aidocell.errors import InputError, printable
from aidocell.evaluate.splits import row_digests

__all__ = ["DONOR_COLUMNS", "find_leaks", "require_no_leak"]

log = logging.getLogger(__name__)

# what files call the person, animal or sample that a cell is of
DONOR_COLUMNS = ("donor", "donor_id", "individual", "patient", "patient_id", "subject", "replicate")


class Cells(Protocol):
    """What is looked at; :class:`aidocell.tasks.labelled.Labelled` is such."""

    cells: np.ndarray
    groups: np.ndarray | None
    embeddings: np.ndarray | None
    counts: sparse.csr_matrix | None


def require_no_leak(files: Mapping[str, Cells]) -> None:
    """Refuse files that share a donor or a cell (``E_GROUP_LEAK``).

    Parameters
    ----------
    files
        Cells by what their file is called in the error.
    """
    for leak in find_leaks(files):
        raise InputError(
            "E_GROUP_LEAK",
            leak,
            fix="leave these cells out of one file: a figure would be too good",
        )


def find_leaks(files: Mapping[str, Cells]) -> list[str]:
    """A sentence for each kind of thing that two files share.

    Donors are equal whatever the blanks around them and however a number is written; those that
    differ by capitals alone are a warning. Cells are equal where their counts are, gene by gene,
    whatever their names; of cells without counts the embeddings are compared.
    """
    found = []
    for (first, one), (second, other) in combinations(files.items(), 2):
        where = f"{first} and {second}"
        if one.groups is not None and other.groups is not None:
            found += _shared_donors(one.groups, other.groups, where)
        found += _shared_cells(one, other, where)
    return found


def _shared_donors(one: np.ndarray, other: np.ndarray, where: str) -> list[str]:
    ours, theirs = ({_canonical(name): name for name in np.unique(g)} for g in (one, other))
    both = sorted(ours.keys() & theirs.keys())
    if both:
        return [f"{where} share {_some(len(both), 'donor or group', (ours[n] for n in both))}"]
    folded = {name.casefold() for name in ours} & {name.casefold() for name in theirs}
    if folded:
        names = _some(len(folded), "donor or group", sorted(folded))
        log.warning("%s share %s but for capitals: are they the same?", where, names)
    return []


def _canonical(name: str) -> str:
    """The name without blanks around it; a number as one writes it."""
    name = name.strip()
    try:
        number = float(name)
    except ValueError:
        return name
    return str(int(number)) if number.is_integer() else str(number)


def _shared_cells(one: Cells, other: Cells, where: str) -> list[str]:
    for kind in ("counts", "embeddings"):
        matrices = getattr(one, kind), getattr(other, kind)
        if None in [type(m) if m is not None else None for m in matrices]:
            continue
        ours, theirs = map(row_digests, matrices)
        shared = np.isin(ours, theirs)
        if shared.any():
            what = f"cell with equal {kind}"
            return [f"{where} share {_some(int(shared.sum()), what, one.cells[shared])}"]
        return []
    return []


def _some(number: int, what: str, names: Iterable[str]) -> str:
    first = ", ".join(f"'{printable(name)}'" for name, _ in zip(names, range(3), strict=False))
    plural = what.replace("donor or group", "donors or groups").replace("cell with", "cells with")
    return f"{number} {what if number == 1 else plural} (first: {first})"

"""Donors and cells that two files share, however they are named there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.errors import InputError
from aidocell.evaluate.digests import PARTS, part_hashes, row_digests
from aidocell.evaluate.labels import about_alike

__all__ = ["LEAST_GENES", "Leak", "Side", "about_leaks", "find_leaks", "require_no_leak"]

# Of genes that both files measure; with fewer, two cells may well have the same counts by chance.
LEAST_GENES = 20
_LEAST_OF_PART = 4
_SHARE_ALIKE = 0.5  # of a cell's expressed genes, in parts that are equal
_MOST_NAMES_SHARED = 0.5


@dataclass(frozen=True)
class Side:
    """One of several files whose cells should have nothing in common.

    Attributes
    ----------
    what
        What a user calls it.
    cells
        Names.
    groups
        Donor or batch of each cell, from :func:`aidocell.evaluate.labels.clean_groups`, or None.
    blocks
        Gives the rows of all cells in order, raw counts (CSR) or embeddings (dense), some at a
        time; called more than once. All files have the same columns.
    """

    what: str
    cells: np.ndarray
    groups: np.ndarray | None
    blocks: Callable[[], Iterator[np.ndarray | sparse.csr_matrix]]

    @cached_property
    def digests(self) -> np.ndarray:
        """Of every cell, over all columns."""
        return self._digests()

    @cached_property
    def expressed(self) -> np.ndarray | None:
        """Columns with a count in any cell; None of embeddings."""
        found = None
        for block in self.blocks():
            if not sparse.issparse(block):
                return None
            here = np.asarray((block > 0).sum(axis=0)).ravel() > 0
            found = here if found is None else found | here
        return found

    def over(self, columns: np.ndarray) -> np.ndarray:
        """Digests over these columns, of cells that express enough of them."""
        return self._digests(columns=columns, least=LEAST_GENES)

    def parts_over(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As of :func:`aidocell.evaluate.digests.part_hashes`, of all cells."""
        found = [part_hashes(block, columns) for block in self.blocks()]
        return np.concatenate([h for h, _ in found]), np.concatenate([s for _, s in found])

    def _digests(self, **options: Any) -> np.ndarray:
        return np.concatenate([row_digests(block, **options) for block in self.blocks()])


@dataclass(frozen=True)
class Leak:
    """What two files have in common.

    Attributes
    ----------
    first, second
        What they are called.
    groups
        Names of the groups in both.
    cells
        Pairs of names of one cell, the second file's cells each once.
    """

    first: str
    second: str
    groups: list[str]
    cells: list[tuple[str, str]]

    def __str__(self) -> str:
        parts = []
        if self.groups:
            one = len(self.groups) == 1
            named = ", ".join(f"'{name}'" for name in self.groups[:3])
            parts.append(f"{len(self.groups)} group{'' if one else 's'} (first: {named})")
        if self.cells:
            one = len(self.cells) == 1
            pairs = ", ".join(_pair(*names) for names in self.cells[:3])
            parts.append(f"{len(self.cells)} cell{'' if one else 's'} (first: {pairs})")
        return f"the {self.first} and the {self.second} share {' and '.join(parts)}"


def find_leaks(sides: Sequence[Side]) -> list[Leak]:
    """Groups and cells that any two of the files share.

    Cells are equal by all their values, or by their counts of the genes that both files express,
    so that genes left out of one file hide nothing; or where sixteenths of these genes are equal
    that hold half of those that the cell expresses, so that a few genes which two spellings sum up
    differently hide nothing either. A cell of zeros equals none.
    """
    pairs = [
        Leak(a.what, b.what, _shared_groups(a, b), _shared_cells(a, b))
        for a, b in combinations(sides, 2)
    ]
    return [leak for leak in pairs if leak.groups or leak.cells]


def require_no_leak(sides: Sequence[Side]) -> list[dict[str, str]]:
    """Warnings of what is only suspicious.

    Raises
    ------
    InputError
        ``E_GROUP_LEAK``: a group or a cell is in two of the files.
    """
    leaks = find_leaks(sides)
    if leaks:
        raise InputError(
            "E_GROUP_LEAK",
            "; ".join(map(str, leaks)),
            fix="keep each donor and each cell in one file, or judge by folds of one file",
        )
    return _suspicions(sides)


def about_leaks(sides: Sequence[Side]) -> tuple[dict[str, int], list[dict[str, str]]]:
    """How many groups and cells leak, and warnings that name them, where they are to be borne."""
    leaks = find_leaks(sides)
    found = {
        "groups": len({name for leak in leaks for name in leak.groups}),
        "cells": sum(len(leak.cells) for leak in leaks),
    }
    notes = [{"id": "leak", "text": f"{leak}: figures flatter"} for leak in leaks]
    return found, notes + _suspicions(sides)


def _shared_groups(a: Side, b: Side) -> list[str]:
    if a.groups is None or b.groups is None:
        return []
    return sorted((set(a.groups) & set(b.groups)) - {""})


def _shared_cells(a: Side, b: Side) -> list[tuple[str, str]]:
    pairs = _equal(a.digests, b.digests)
    if a.expressed is not None and b.expressed is not None:
        common = a.expressed & b.expressed
        if not np.array_equal(a.expressed, b.expressed):
            pairs = _equal(a.over(common), b.over(common)) | pairs
        pairs = _alike(a.parts_over(common), b.parts_over(common)) | pairs
    return [(str(a.cells[i]), str(b.cells[j])) for j, i in sorted(pairs.items())]


def _equal(first: np.ndarray, second: np.ndarray) -> dict[int, int]:
    """Rows of the second that equal a row of the first, with the first such row."""
    known = pd.Index(first)
    known_once = known[~known.duplicated()]
    places = np.flatnonzero(~known.duplicated())
    found = known_once.get_indexer(second)
    found[second == ""] = -1
    return {int(j): int(places[found[j]]) for j in np.flatnonzero(found >= 0)}


def _alike(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> dict[int, int]:
    """Rows of the second that equal a row of the first in enough parts, with the best such row."""
    votes = []
    for part in range(PARTS):
        rows = [np.flatnonzero(sizes[:, part] >= _LEAST_OF_PART) for _, sizes in (first, second)]
        known, asked = (h[own, part] for (h, _), own in zip((first, second), rows, strict=True))
        unique, places = np.unique(known, return_index=True)
        found = np.searchsorted(unique, asked).clip(max=len(unique) - 1)
        same = unique[found] == asked if len(unique) else np.zeros(len(asked), bool)
        theirs = rows[1][same]
        ours = rows[0][places[found[same]]]
        votes.append(pd.DataFrame({"i": ours, "j": theirs, "genes": second[1][theirs, part]}))
    summed = pd.concat(votes).groupby(["j", "i"], as_index=False)["genes"].sum()
    enough = summed["genes"] >= np.maximum(
        LEAST_GENES, _SHARE_ALIKE * second[1].sum(axis=1)[summed["j"]]
    )
    best = summed[enough].sort_values(["genes", "i"], ascending=[False, True]).drop_duplicates("j")
    return {int(j): int(i) for j, i in zip(best["j"], best["i"], strict=True)}


def _suspicions(sides: Sequence[Side]) -> list[dict[str, str]]:
    """Names that many cells of two files share, and groups that differ by case alone."""
    notes = about_alike([name for s in sides if s.groups is not None for name in set(s.groups)])
    for a, b in combinations(sides, 2):
        shared = len(np.intersect1d(a.cells.astype(str), b.cells.astype(str)))
        if shared > _MOST_NAMES_SHARED * min(len(a.cells), len(b.cells)):
            text = f"{shared} cells of the {a.what} and the {b.what} have the same names"
            text += ", though not the same values: are they the same cells, counted twice?"
            notes.append({"id": "names-shared", "text": text})
    return notes


def _pair(first: str, second: str) -> str:
    return f"'{first}'" if first == second else f"'{first}', there '{second}'"

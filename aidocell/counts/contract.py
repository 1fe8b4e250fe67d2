"""The raw-count contract: finite, not negative, whole numbers that were not normalised.

A file with several faults reports the first kind in the order not finite, negative, not counts,
wherever in the file they are. So a :class:`Contract` looks at all chunks, remembers the first
fault of each kind and raises at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from aidocell.counts.looks import ESTIMATED, looks_like
from aidocell.errors import InputError

__all__ = ["Contract", "canonical", "ragged"]

_LARGEST = 2.0**53  # beyond it a float64 does not tell neighbouring whole numbers apart
_ORDER = ("E_NOT_FINITE", "E_NEGATIVE", "E_NOT_COUNTS")


class Contract:
    """Looks at chunk after chunk of one matrix, then raises the worst fault.

    Parameters
    ----------
    where
        The matrix as the user knows it, such as ``pbmc.h5ad``.
    round
        Accept estimated counts and round them.
    cells, genes
        Names to say which value is wrong; numbers are shown without them.
    advice
        Gives a sentence on a layer that does hold counts, or ``""``; asked only on a fault.
    """

    def __init__(
        self,
        *,
        where: str,
        round: bool = False,
        cells: Sequence[str] | None = None,
        genes: Sequence[str] | None = None,
        advice: Callable[[], str] | None = None,
    ) -> None:
        self.where, self.round, self.advice = where, round, advice
        self.cells, self.genes = cells, genes
        self.rounded = False
        self.faults: dict[str, tuple[str, str]] = {}
        self._looks: str | None = None  # of the first chunk with fractions

    def look(self, matrix: sparse.csr_matrix, *, first_cell: int) -> sparse.csr_matrix | None:
        """Whole counts of a canonical chunk, or ``None`` after a fault here or earlier."""
        if matrix.dtype == np.float16:  # too narrow for what it is compared with below
            matrix = matrix.astype(np.float32)
        data = matrix.data
        if data.dtype.kind == "f":
            self._note("E_NOT_FINITE", matrix, ~np.isfinite(data), first_cell)
        if data.dtype.kind != "u":
            self._note("E_NEGATIVE", matrix, data < 0, first_cell)
        if data.dtype.kind == "f" and not self.faults:
            self._look_at_fractions(matrix, first_cell)
        self._note("E_NOT_COUNTS", matrix, data > _LARGEST, first_cell)
        return None if self.faults else _whole(matrix)

    def raise_first(self) -> None:
        """Raise the fault that comes first in the order, if there was one."""
        for id in _ORDER:
            if id in self.faults:
                what, fix = self.faults[id]
                raise InputError(id, what, fix=self._advised(fix))

    def _advised(self, fix: str) -> str:
        return (self.advice() if self.advice else "") or fix

    def _note(self, id: str, matrix: sparse.csr_matrix, bad: np.ndarray, first_cell: int) -> None:
        if id in self.faults or not bad.any():
            return
        place = self._place(matrix, int(np.flatnonzero(bad)[0]), first_cell)
        finite = matrix.data[np.isfinite(matrix.data)]
        scaled = id == "E_NEGATIVE" and bool(np.any(finite != np.rint(finite)))
        self.faults[id] = _wording(id, self.where, place, scaled=scaled)

    def _place(self, matrix: sparse.csr_matrix, entry: int, first_cell: int) -> str:
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1 + first_cell
        column = int(matrix.indices[entry])
        cell = repr(str(self.cells[row])) if self.cells is not None else f"{row + 1:,}"
        gene = repr(str(self.genes[column])) if self.genes is not None else f"{column + 1:,}"
        return f"{matrix.data[entry]:.6g} in cell {cell}, gene {gene}"

    def _look_at_fractions(self, matrix: sparse.csr_matrix, first_cell: int) -> None:
        fractions = matrix.data != np.rint(matrix.data)
        if not fractions.any() or "E_NOT_COUNTS" in self.faults:
            return
        self._looks = self._looks or looks_like(matrix)
        if self._looks == ESTIMATED and self.round:
            self.rounded = True
            return
        place = self._place(matrix, int(np.flatnonzero(fractions)[0]), first_cell)
        self.faults["E_NOT_COUNTS"] = _not_counts(self.where, place, self._looks)


def _wording(id: str, where: str, place: str, *, scaled: bool) -> tuple[str, str]:
    if id == "E_NOT_FINITE":
        return f"{where} holds NaN or infinity: {place}", "give the raw counts"
    if id == "E_NEGATIVE":
        looks = " and looks scaled" if scaled else ""
        return (
            f"{where} holds values below zero{looks}: {place}",
            "give the raw counts, for example with --layer",
        )
    return f"{where} holds values too large to be counts: {place}", "give the raw counts"


def _not_counts(where: str, place: str, looks: str) -> tuple[str, str]:
    what = f"{where} does not hold raw counts: it looks {looks} ({place})"
    if looks == ESTIMATED:
        return what, "give --round to round estimated counts, on record"
    return what, "give the raw counts, for example with --layer; normalised values are not accepted"


def _whole(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Round and store as int32, or int64 where a count needs it; zeros are not stored."""
    data = np.rint(matrix.data) if matrix.data.dtype.kind == "f" else matrix.data
    wide = data.size and data.max() > np.iinfo(np.int32).max
    data = data.astype(np.int64 if wide else np.int32)
    counts = sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    counts.has_sorted_indices = True
    if not data.all():
        counts = counts.copy()
        counts.eliminate_zeros()
    return counts


def canonical(matrix: sparse.csr_matrix, *, where: str) -> sparse.csr_matrix:
    """Sort the genes of each cell.

    Raises
    ------
    InputError
        ``E_MATRIX_SHAPE``: a gene occurs twice in one cell, or an index is out of range.
    """
    indices = matrix.indices
    if indices.size and (indices.min() < 0 or indices.max() >= matrix.shape[1]):
        raise ragged(where, f"an index is outside its {matrix.shape[1]:,} genes")
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    same = np.flatnonzero(matrix.indices[1:] == matrix.indices[:-1]) + 1
    if np.setdiff1d(same, matrix.indptr).size:
        raise ragged(where, "a gene occurs twice in one cell")
    return matrix


def ragged(where: str, what: str) -> InputError:
    """``E_MATRIX_SHAPE`` for a sparse matrix whose parts disagree."""
    return InputError(
        "E_MATRIX_SHAPE",
        f"the sparse matrix of {where} is ragged: {what}",
        fix="export the file again from where it came from",
    )

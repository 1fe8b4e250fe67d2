"""What a matrix with fractional values looks like, judged by a sample of its cells."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["ESTIMATED", "LOG", "SCALED", "looks_like"]

ESTIMATED = "like estimated counts"
LOG = "log1p-normalised"
SCALED = "size-factor-normalised"

_CELLS = 256  # looked at
_LOG_LARGEST = 15.0  # log1p of three millions
_LOG2_LARGEST = 22.0  # log2 of the same
_MANY_WHOLE = 0.3  # share of whole values that normalised values do not reach by chance
_FEW_WHOLE = 0.01  # share that small estimated counts exceed
_BASES = (np.expm1, lambda x: np.exp2(x) - 1, lambda x: 10.0**x - 1)


def looks_like(matrix: sparse.csr_matrix) -> str:
    """Name the kind of values in a matrix that holds fractions.

    A normalised cell is a count vector times one factor: its values add up to the same total in
    every cell, or, where genes were dropped since, they are whole multiples of the cell's
    smallest value; the same after undoing a logarithm. Estimated counts do neither, and many of
    them are whole.

    Parameters
    ----------
    matrix
        Cells × genes, finite and not negative; the first cells with fractions are looked at.
    """
    cells = _cells_with_fractions(matrix)
    values = np.concatenate(cells)
    if _same_totals(cells):
        return SCALED
    if np.mean(values == np.rint(values)) > _MANY_WHOLE:
        return ESTIMATED
    if _one_factor(cells) or _one_factor([cell**2 for cell in cells]):  # or their square roots
        return SCALED
    if values.max() < _LOG2_LARGEST:
        undone = [[undo(cell) for cell in cells] for undo in _BASES]
        if any(_same_totals(counts) or _one_factor(counts) for counts in undone):
            return LOG
    if values.max() < _LOG_LARGEST and np.mean(values == np.rint(values)) < _FEW_WHOLE:
        return LOG
    return ESTIMATED


def _cells_with_fractions(matrix: sparse.csr_matrix) -> list[np.ndarray]:
    rows = np.split(matrix.data.astype(np.float64), matrix.indptr[1:-1])
    rows = [row[row > 0] for row in rows]
    return [row for row in rows if np.any(row != np.rint(row))][:_CELLS]


def _same_totals(cells: list[np.ndarray]) -> bool:
    totals = np.array([cell.sum() for cell in cells])
    return len(totals) > 2 and bool(np.ptp(totals) <= 1e-3 * totals.mean())


def _one_factor(cells: list[np.ndarray]) -> bool:
    """Whether most cells are counts times one factor each."""
    telling = [cell for cell in cells if len(np.unique(cell)) > 2] or cells
    return bool(np.mean([_multiples(cell) for cell in telling]) > 0.5)


def _multiples(cell: np.ndarray) -> bool:
    """Whether the smaller values are whole multiples of the smallest, to three digits."""
    ratios = cell / cell.min()
    ratios = ratios[ratios < 20]
    return bool(np.all(np.abs(ratios - np.rint(ratios)) < 1e-3 * ratios))

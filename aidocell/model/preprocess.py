"""Raw counts to the model's input."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aidocell.errors import InputError

__all__ = ["preprocess"]

COUNTS_PER_CELL = 10_000.0
MIN_DEPTH, MAX_DEPTH = 5.0, 20.0


def preprocess(counts: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Normalise raw counts and add the two depth tokens.

    Parameters
    ----------
    counts
        Dense raw counts, shape ``(cells, genes)``, genes in the vocabulary's order, 0 where a gene
        was not measured.

    Returns
    -------
    values
        float32, shape ``(cells, genes + 2)``: ``log(1 + 10000 · count / total)`` for each gene, then
        twice ``log10(total)``, held between 5 and 20 (depth wanted, depth given). An array for an array,
        a tensor on the same device for a tensor.

    Raises
    ------
    InputError
        ``E_EMPTY_CELLS``: a cell without any count. ``E_NEGATIVE``, ``E_NOT_FINITE``: values that no count can
        have. ``E_MATRIX_SHAPE``, ``E_MATRIX_TYPE``: not a matrix of numbers.
    """
    if isinstance(counts, Tensor):
        return _preprocess(counts)
    array = np.asarray(counts)
    if array.dtype.kind not in "iuf":
        raise InputError(
            "E_MATRIX_TYPE",
            f"counts are of type {array.dtype}, not a dense array of numbers",
            fix="pass an array of counts (of a sparse matrix, `matrix.toarray()`)",
        )
    # float64 holds every count exactly, and torch has no arithmetic for unsigned numbers.
    return _preprocess(torch.from_numpy(array.astype(np.float64))).numpy()


def _preprocess(counts: Tensor) -> Tensor:
    _check_counts(counts)
    # A float64 sum rounded once does not depend on how many cells are summed together.
    total = counts.sum(1, keepdim=True, dtype=torch.float64).to(torch.float32)
    _refuse_rows(total[:, 0] == 0, "E_EMPTY_CELLS", "without any count in the model's genes")
    values = torch.log1p(counts.to(torch.float32) / total * COUNTS_PER_CELL)
    depth = torch.log10(total).clamp(min=MIN_DEPTH)
    return torch.cat([values, depth, depth], dim=1).clamp(max=MAX_DEPTH)


def _check_counts(counts: Tensor) -> None:
    if counts.ndim != 2:
        raise InputError(
            "E_MATRIX_SHAPE",
            f"counts have {counts.ndim} dimensions, not the two of cells × genes",
            fix="pass one row a cell and one column a gene",
        )
    if counts.is_complex() or counts.dtype == torch.bool:
        raise InputError(
            "E_MATRIX_TYPE", f"counts are of type {counts.dtype}", fix="pass whole numbers"
        )
    _refuse_rows(~torch.isfinite(counts).all(1), "E_NOT_FINITE", "with NaN or infinity")
    _refuse_rows((counts < 0).any(1), "E_NEGATIVE", "with counts below zero")


def _refuse_rows(bad: Tensor, id: str, problem: str) -> None:
    rows = bad.nonzero()[:, 0].tolist()
    if rows:
        first = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
        raise InputError(
            id,
            f"{len(rows)} of {len(bad)} cells {problem} (rows, from 0: {first})",
            fix="pass raw counts and leave these rows out",
        )

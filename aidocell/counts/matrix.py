"""Cells × genes matrices read by chunks of cells: sparse by cell, sparse by gene, dense.

What is read stays sparse: of a dense matrix only a block of cells is in memory, and of a matrix
that is stored by gene no more than a block of entries (see :mod:`aidocell.counts.spill`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import zarr
from scipy import sparse

from aidocell.counts.contract import canonical, ragged
from aidocell.counts.damage import reading
from aidocell.counts.diskarray import DiskArray
from aidocell.counts.frames import Node, attribute
from aidocell.counts.spill import BLOCK, spill
from aidocell.errors import InputError

__all__ = [
    "Dense",
    "Matrix",
    "SparseByCell",
    "SparseByGene",
    "open_matrix",
    "require_numbers",
]

_ENTRIES = 32 << 20  # entries of a sparse chunk, so that deep cells make it shorter
_DENSE_BYTES = 64 << 20

Stored = np.ndarray | DiskArray | h5py.Dataset | zarr.Array  # in memory, or read by slices


class Matrix(Protocol):
    """Cells × genes, as a file stores it."""

    shape: tuple[int, int]
    dtype: np.dtype
    stored: int  # entries that are stored; 0 where only a look at all would tell

    def chunks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """First cell and at most `size` cells, genes sorted; ``E_MATRIX_SHAPE`` where ragged."""

    def check(self) -> None:
        """Look for ragged parts of the whole matrix, without looking at its values."""


def require_numbers(matrix: Matrix, where: str) -> None:
    """Raise ``E_MATRIX_TYPE`` for text, truth values, complex numbers, objects."""
    kinds = {"b": "truth values", "c": "complex numbers", "O": "text or objects", "S": "text"}
    if matrix.dtype.kind not in "iuf":
        what = kinds.get(matrix.dtype.kind, f"values of type {matrix.dtype}")
        fix = "give a matrix of whole numbers, or another --layer"
        raise InputError("E_MATRIX_TYPE", f"{where} holds {what}, not counts", fix=fix)


class SparseByCell:
    """Compressed rows: an h5ad's CSR, 10x HDF5 (where the file calls cells columns).

    Parameters
    ----------
    data, indices
        Array-likes of one dimension, read by slices.
    indptr
        Where each cell begins, shape ``(n_cells + 1,)``, in memory.
    path, where
        The file, and the matrix in it, for messages.
    """

    def __init__(
        self,
        data: Stored,
        indices: Stored,
        indptr: np.ndarray,
        n_genes: int,
        *,
        path: Path,
        where: str,
    ) -> None:
        self.data, self.indices = data, indices
        self.path, self.where = path, where
        self.shape = (max(len(indptr) - 1, 0), n_genes)
        self.dtype, self.stored = data.dtype, data.shape[0]
        self.indptr = checked_indptr(indptr, data, indices, where)

    def chunks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        for start, stop in self._ranges(size):
            yield start, canonical(self._rows(start, stop, values=True), where=self.where)

    def check(self) -> None:
        for start, stop in self._ranges(self.shape[0] or 1):
            canonical(self._rows(start, stop, values=False), where=self.where)

    def _ranges(self, size: int) -> Iterator[tuple[int, int]]:
        start = 0
        while start < self.shape[0]:
            full = np.searchsorted(self.indptr, self.indptr[start] + _ENTRIES, side="right") - 1
            stop = min(start + size, max(int(full), start + 1), self.shape[0])
            yield start, stop
            start = stop

    def _rows(self, start: int, stop: int, *, values: bool) -> sparse.csr_matrix:
        begin, end = int(self.indptr[start]), int(self.indptr[stop])
        with reading(self.path, f"the matrix of {self.where}"):
            indices = np.asarray(self.indices[begin:end])
            data = np.asarray(self.data[begin:end]) if values else np.ones(end - begin, np.int8)
        return compressed(data, indices, self.indptr[start : stop + 1], self.shape[1], self.where)


def checked_indptr(indptr: np.ndarray, data: Stored, indices: Stored, where: str) -> np.ndarray:
    """The pointer as int64, if it fits its data."""
    if indptr.ndim != 1 or indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise ragged(where, "its index arrays do not hold whole numbers")
    if not len(indptr) or indptr[0] != 0:
        raise ragged(where, "indptr does not begin at 0")
    indptr = indptr.astype(np.int64)
    if np.any(np.diff(indptr) < 0):
        first = int(np.flatnonzero(np.diff(indptr) < 0)[0])
        raise ragged(where, f"indptr goes down after row {first:,}")
    if data.shape != indices.shape:
        raise ragged(where, f"{data.shape[0]:,} values for {indices.shape[0]:,} indices")
    if indptr[-1] != data.shape[0]:
        raise ragged(
            where, f"indptr ends at {indptr[-1]:,}, but there are {data.shape[0]:,} values"
        )
    return indptr


def compressed(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n_columns: int, where: str
) -> sparse.csr_matrix:
    """CSR of a slice of arrays; indices are checked before compiled code trusts them."""
    if len(indices) and (indices.min() < 0 or indices.max() >= n_columns):
        raise ragged(where, f"an index is outside its {n_columns:,} genes")
    small = n_columns <= np.iinfo(np.int32).max and len(indices) <= np.iinfo(np.int32).max
    kind = np.int32 if small else np.int64
    pointer = (indptr - indptr[0]).astype(kind)
    shape = (len(indptr) - 1, n_columns)
    return sparse.csr_matrix((data, indices.astype(kind), pointer), shape=shape)


class SparseByGene:
    """Compressed columns: turned over to cells on the disk when first read."""

    def __init__(
        self,
        data: Stored,
        indices: Stored,
        indptr: np.ndarray,
        n_cells: int,
        *,
        path: Path,
        where: str,
    ) -> None:
        self.data, self.indices = data, indices
        self.path, self.where = path, where
        self.shape = (n_cells, max(len(indptr) - 1, 0))
        self.dtype, self.stored = data.dtype, data.shape[0]
        self.indptr = checked_indptr(indptr, data, indices, where)
        self._by_cell: SparseByCell | None = None

    def chunks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        yield from self._turned().chunks(size)

    def check(self) -> None:
        for _, cells, _ in self._blocks(values=False):
            self._require_cells(cells)

    def _turned(self) -> SparseByCell:
        if self._by_cell is None:
            arrays = spill(self._blocks, self.shape[0], self.dtype)
            self._by_cell = SparseByCell(*arrays, self.shape[1], path=self.path, where=self.where)
        return self._by_cell

    def _blocks(self, *, values: bool = True) -> Iterator[tuple[np.ndarray, ...]]:
        """Entries in the order of the file: gene, cell, value."""
        for begin in range(0, self.data.shape[0], BLOCK):
            end = min(begin + BLOCK, self.data.shape[0])
            with reading(self.path, f"the matrix of {self.where}"):
                cells = np.asarray(self.indices[begin:end]).astype(np.int64)
                data = np.asarray(self.data[begin:end]) if values else cells
            self._require_cells(cells)
            genes = np.searchsorted(self.indptr, np.arange(begin, end), side="right") - 1
            yield genes, cells, data

    def _require_cells(self, cells: np.ndarray) -> None:
        if len(cells) and (cells.min() < 0 or cells.max() >= self.shape[0]):
            raise ragged(self.where, f"an index is outside its {self.shape[0]:,} cells")


class Dense:
    """A dense array, read by blocks of cells of at most 64 MiB."""

    def __init__(self, array: Stored, *, path: Path, where: str) -> None:
        self.array, self.path, self.where = array, path, where
        self.shape = tuple(array.shape)
        self.dtype, self.stored = array.dtype, 0

    def chunks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        for start in range(0, self.shape[0], size):
            stop = min(start + size, self.shape[0])
            yield start, sparse.vstack(list(self._blocks(start, stop)), format="csr")

    def check(self) -> None:
        """A dense array has no parts that could disagree."""

    def _blocks(self, start: int, stop: int) -> Iterator[sparse.csr_matrix]:
        step = max(_DENSE_BYTES // max(self.shape[1] * self.dtype.itemsize, 1), 1)
        for begin in range(start, stop, step):
            with reading(self.path, f"the matrix of {self.where}"):
                block = self.array[begin : min(begin + step, stop)]
            # scipy has no matrices of half precision
            yield sparse.csr_matrix(block.astype(np.float32) if block.dtype == "f2" else block)


def open_matrix(node: Node, *, path: Path, where: str) -> Matrix:
    """The matrix kept in a group (sparse) or an array (dense) of an AnnData file.

    Raises
    ------
    InputError
        ``E_MATRIX_SHAPE`` or ``E_MATRIX_TYPE``: not two-dimensional, ragged, or no matrix.
    """
    if hasattr(node, "shape"):
        if node.shape is None or len(node.shape) != 2:
            raise InputError(
                "E_MATRIX_SHAPE",
                f"{where} is no table of cells and genes (shape {node.shape})",
                fix="give another --layer",
            )
        return Dense(node, path=path, where=where)
    return _open_sparse(node, path=path, where=where)


def _open_sparse(node: Node, *, path: Path, where: str) -> Matrix:
    encoding = attribute(node, "encoding-type") or attribute(node, "h5sparse_format") or ""
    opening: dict[str, Callable] = {"csr": SparseByCell, "csc": SparseByGene}
    kind = opening.get(str(encoding).split("_")[0])
    if kind is None:
        what = f"{where} is stored as '{encoding}', not as a dense or sparse matrix"
        raise InputError("E_MATRIX_TYPE", what, fix="give another --layer")
    with reading(path, f"the matrix of {where}"):
        shape = tuple(int(n) for n in node.attrs.get("shape", node.attrs.get("h5sparse_shape")))
        data, indices, indptr = node["data"], node["indices"], node["indptr"][()]
        _require_chunks(data)
    major, minor = shape if kind is SparseByCell else shape[::-1]
    if len(indptr) != major + 1:
        raise ragged(where, f"indptr has {len(indptr):,} entries for {major:,} rows")
    return kind(data, indices, indptr, minor, path=path, where=where)


def _require_chunks(data: Node) -> None:
    """A chunk of values that a Zarr folder has lost would read as zeros without a word."""
    if isinstance(data, zarr.Array) and data.nchunks_initialized < data.nchunks:
        raise ValueError(f"chunks of {data.name} are missing")

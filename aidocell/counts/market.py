"""Matrix Market files (genes × cells, one entry a line), turned into rows of cells on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.counts.contract import ragged
from aidocell.counts.damage import damaged, reading
from aidocell.counts.diskarray import DiskArray
from aidocell.counts.formats import open_text
from aidocell.counts.matrix import SparseByCell
from aidocell.counts.spill import BLOCK, Arrays, spill
from aidocell.errors import InputError

__all__ = ["MarketMatrix"]

_KINDS = {"integer": np.dtype(np.int64), "real": np.dtype(np.float64)}
# gzip shrinks to a thousandth at best, and an entry takes six characters
_MOST_ENTRIES_A_BYTE = 200
_OTHERS = {"pattern": np.dtype(bool), "complex": np.dtype(complex)}


class MarketMatrix:
    """``matrix.mtx``, genes × cells as 10x writes it.

    The text is parsed once, by blocks, into temporary files. Entries in the usual order, cell
    after cell, are rows of cells as they lie there; entries in any other order are sorted from
    there on the disk.

    Parameters
    ----------
    file
        The Matrix Market file.
    n_cells, n_genes
        Lines of the two tables beside it.
    """

    def __init__(self, file: Path, *, n_cells: int, n_genes: int) -> None:
        self.file, self.where = file, str(file)
        with reading(file, "its first lines"), open_text(file) as handle:
            self.dtype, (rows, columns), self.stored = _header(handle, file)
        self.shape = (columns, rows)
        self._by_cell: SparseByCell | None = None
        if self.shape != (n_cells, n_genes):
            raise self._misfit(n_cells, n_genes)
        self._require_room_for_entries()

    def chunks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        yield from self._turned().chunks(size)

    def check(self) -> None:
        if self.dtype in _KINDS.values():
            self._turned().check()

    def _turned(self) -> SparseByCell:
        if self._by_cell is None:
            arrays = self._rows(*self._parse())
            self._by_cell = SparseByCell(*arrays, self.shape[1], path=self.file, where=self.where)
        return self._by_cell

    def _rows(self, genes: DiskArray, cells: DiskArray, values: DiskArray) -> Arrays:
        """Data, indices and indptr of the rows, from all entries."""
        lengths = np.zeros(self.shape[0], dtype=np.int64)
        before, ordered = 0, True
        for part in map(cells.__getitem__, _parts(len(cells))):
            lengths += np.bincount(part, minlength=len(lengths))
            ordered = ordered and bool(np.all(np.diff(part, prepend=before) >= 0))
            before = part[-1]
        if ordered:
            return values, genes, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return spill(
            lambda: ((genes[part], cells[part], values[part]) for part in _parts(len(cells))),
            self.shape[0],
            self.dtype,
        )

    def _misfit(self, n_cells: int, n_genes: int) -> InputError:
        rows, columns = self.shape[::-1]
        turned = " and looks transposed" if (rows, columns) == (n_cells, n_genes) else ""
        what = (
            f"{self.where} has {rows:,} rows and {columns:,} columns{turned}, but there are "
            f"{n_genes:,} features and {n_cells:,} barcodes"
        )
        fix = "put the three files of one export together, genes in rows"
        return InputError("E_MATRIX_SHAPE", what, fix=fix)

    def _parse(self) -> Arrays:
        """Gene, cell and value of all entries; damage wins over numbers out of range."""
        genes, cells = (DiskArray(self.stored, np.int32) for _ in range(2))
        values = DiskArray(self.stored, self.dtype)
        seen, outside = 0, False
        for table in self._tables():
            part = slice(seen, seen + len(table))
            seen += len(table)
            if seen > self.stored:
                break
            gene, cell = (table[name].to_numpy() - 1 for name in ("gene", "cell"))
            outside = outside or _outside(cell, self.shape[0]) or _outside(gene, self.shape[1])
            genes[part], cells[part], values[part] = gene, cell, table["value"]
        if seen != self.stored:
            more = " or more" if seen > self.stored else ""
            raise damaged(self.file, f"it holds {seen:,}{more} of {self.stored:,} entries")
        if outside:
            raise ragged(self.where, "a row or column number is out of range")
        return genes, cells, values

    def _require_room_for_entries(self) -> None:
        """A header that is damaged must not fill the disk."""
        if self.stored > self.file.stat().st_size * _MOST_ENTRIES_A_BYTE:
            raise damaged(self.file, f"it is too short for its {self.stored:,} entries")

    def _tables(self) -> Iterator[pd.DataFrame]:
        with reading(self.file, "its entries"), open_text(self.file) as handle:
            _header(handle, self.file)
            yield from pd.read_csv(
                handle,
                sep=r"\s+",
                header=None,
                names=["gene", "cell", "value"],
                dtype={"gene": np.int64, "cell": np.int64, "value": self.dtype},
                chunksize=BLOCK,
                engine="c",
            )


def _outside(numbers: np.ndarray, size: int) -> bool:
    return bool(np.any((numbers < 0) | (numbers >= size)))


def _parts(length: int) -> Iterator[slice]:
    for begin in range(0, length, BLOCK):
        yield slice(begin, min(begin + BLOCK, length))


def _header(handle: IO[str], file: Path) -> tuple[np.dtype, tuple[int, int], int]:
    """Type, shape and number of entries; the handle is left at the first entry."""
    words = handle.readline().lower().split()
    if len(words) < 5 or words[0] != "%%matrixmarket" or words[2] != "coordinate":
        what = f"{file} is no Matrix Market file of coordinates"
        raise InputError("E_FILE_FORMAT", what, fix="give the folder as 10x software writes it")
    if words[4] != "general":
        what = f"{file} is a {words[4]} matrix"
        raise InputError("E_FILE_FORMAT", what, fix="write it as a general matrix")
    line = handle.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = handle.readline()
    rows, columns, entries = (int(number) for number in line.split())
    if min(rows, columns, entries) < 0:
        raise damaged(file, f"its size is given as {line.strip()}")
    dtype = {**_KINDS, **_OTHERS}.get(words[3])
    if dtype is None:
        raise damaged(file, f"its values are of the unknown kind '{words[3]}'")
    return dtype, (rows, columns), entries

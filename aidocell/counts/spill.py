"""Turn entries that are not ordered by cell into rows of cells, on the disk.

A first pass over the entries counts those of each cell, so that cells can be grouped into ranges
whose entries fit into memory. A second puts each entry into the part of its range in temporary
files; then each part is sorted by itself. Memory is bounded by a range and a block of entries; the
disk (``TMPDIR``) takes 12 to 16 bytes an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from aidocell.counts.diskarray import DiskArray

__all__ = ["BLOCK", "Arrays", "spill"]

BLOCK = 2 << 20  # entries in memory at a time

Arrays = tuple[np.ndarray | DiskArray, np.ndarray | DiskArray, np.ndarray]


def spill(
    blocks: Callable[[], Iterable[Arrays]], n_cells: int, dtype: np.dtype, *, most: int = 2 * BLOCK
) -> Arrays:
    """Arrays of a CSR matrix: data, indices (on the disk) and indptr (in memory).

    Parameters
    ----------
    blocks
        Gives the entries from the start each time it is called: gene, cell (both from 0 and in
        range) and value. The genes of a cell keep their order.
    n_cells
        Number of rows.
    dtype
        Of the values.
    most
        Entries of a range of cells, unless a single cell has more.

    Raises
    ------
    MachineError
        ``E_DISK_FULL``: no space for temporary files.
    """
    lengths = np.zeros(n_cells, dtype=np.int64)
    for _, cells, _ in blocks():
        lengths += np.bincount(cells, minlength=n_cells)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    edges = _ranges(indptr, most)
    parts = [DiskArray(int(indptr[-1]), kind) for kind in (np.int32, np.int32, dtype)]
    _scatter(blocks(), parts, edges, indptr)
    cells, genes, values = parts
    for begin, end in zip(indptr[edges[:-1]], indptr[edges[1:]], strict=True):
        order = np.argsort(cells[begin:end], kind="stable")
        for part in (genes, values):
            part[begin:end] = part[begin:end][order]
    cells.close()
    return values, genes, indptr


def _ranges(indptr: np.ndarray, most: int) -> np.ndarray:
    """First cell of each range, and the number of cells at the end."""
    edges, cells = [0], len(indptr) - 1
    while edges[-1] < cells:
        start = edges[-1]
        full = int(np.searchsorted(indptr, indptr[start] + most, side="right")) - 1
        edges.append(min(max(full, start + 1), cells))
    return np.array(edges)


def _scatter(
    blocks: Iterable[Arrays], parts: list[DiskArray], edges: np.ndarray, indptr: np.ndarray
) -> None:
    """Put entries into the part of their range of cells, in the order in which they come."""
    free = indptr[edges[:-1]].copy()  # next free place of each range
    for genes, cells, values in blocks:
        ranges = np.searchsorted(edges, cells, side="right") - 1
        order = np.argsort(ranges, kind="stable")
        entries = [array[order] for array in (cells, genes, values)]
        counts = np.bincount(ranges, minlength=len(free))
        begins = np.cumsum(counts) - counts
        for number in np.flatnonzero(counts):
            begin, end = begins[number], begins[number] + counts[number]
            place = slice(free[number], free[number] + counts[number])
            for part, array in zip(parts, entries, strict=True):
                part[place] = array[begin:end]
        free += counts

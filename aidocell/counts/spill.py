"""Turn entries that are not ordered by cell into rows of cells, on the disk.

Two passes over the entries: the first counts those of each cell, the second puts each at its
place in temporary files without a name, which vanish when they are closed. Memory is bounded by
a block of entries; the disk (``TMPDIR``) takes 8 to 12 bytes an entry.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable

import numpy as np

from aidocell.errors import MachineError

__all__ = ["BLOCK", "Arrays", "on_disk", "spill"]

BLOCK = 2 << 20  # entries in memory at a time

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def spill(blocks: Callable[[], Iterable[Arrays]], n_cells: int, dtype: np.dtype) -> Arrays:
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

    Raises
    ------
    MachineError
        ``E_DISK_FULL``: no space for temporary files.
    """
    lengths = np.zeros(n_cells, dtype=np.int64)
    for _, cells, _ in blocks():
        lengths += np.bincount(cells, minlength=n_cells)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    data, indices = on_disk(int(indptr[-1]), dtype), on_disk(int(indptr[-1]), np.dtype(np.int32))
    free = indptr[:-1].copy()  # next free place of each cell
    for genes, cells, values in blocks():
        order = np.argsort(cells, kind="stable")
        counts = np.bincount(cells, minlength=n_cells)
        begins = np.cumsum(counts) - counts
        places = np.arange(len(order)) + np.repeat(free - begins, counts)
        data[places], indices[places] = values[order], genes[order]
        free += counts
    return data, indices, indptr


def on_disk(length: int, dtype: np.dtype) -> np.ndarray:
    """An array in a temporary file; its space is reserved, so that writing cannot fail later."""
    if not length:
        return np.empty(0, dtype)
    with tempfile.TemporaryFile(prefix="aidocell-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, length * dtype.itemsize)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise MachineError(
                "E_DISK_FULL",
                f"no space in {tempfile.gettempdir()} for {length * dtype.itemsize:,} bytes",
                fix="free some space, or set TMPDIR to a larger disk",
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=(length,))

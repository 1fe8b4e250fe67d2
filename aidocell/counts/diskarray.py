"""Arrays in temporary files: read and written by slices, never resident as a whole."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np

from aidocell.errors import MachineError

__all__ = ["DiskArray"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_ONCE = 1 << 30  # bytes; Linux moves no more than 2 GiB in one call


class DiskArray:
    """An array of one dimension in a file of ``TMPDIR`` without a name, gone when it is closed.

    Its space is reserved, so that writing cannot fail for lack of it. A mapping of the file would
    do the same, but every page that was touched counts as memory of the process.

    Attributes
    ----------
    shape, dtype
        As of a NumPy array.

    Raises
    ------
    MachineError
        ``E_DISK_FULL``: no space for the file.
    """

    def __init__(self, length: int, dtype: np.dtype) -> None:
        self.shape, self.dtype = (length,), np.dtype(dtype)
        self._file = tempfile.TemporaryFile(prefix="aidocell-")  # noqa: SIM115 (open as long as this is)
        if not length:
            return
        try:
            os.posix_fallocate(self._file.fileno(), 0, length * self.dtype.itemsize)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise MachineError(
                "E_DISK_FULL",
                f"no space in {tempfile.gettempdir()} for {length * self.dtype.itemsize:,} bytes",
                fix="free some space, or set TMPDIR to a larger disk",
            ) from error

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        values = np.empty(max(stop - start, 0), self.dtype)
        content, place = memoryview(values.view(np.uint8)), start * self.dtype.itemsize
        while len(content):
            read = os.preadv(self._file.fileno(), [content[:_AT_ONCE]], place)
            content, place = content[read:], place + read
        return values

    def __setitem__(self, part: slice, values: np.ndarray) -> None:
        start, stop, _ = part.indices(len(self))
        values = np.ascontiguousarray(values, self.dtype)
        if len(values) != stop - start:
            raise ValueError(f"{len(values):,} values for {stop - start:,} places")
        content, place = memoryview(values.view(np.uint8)), start * self.dtype.itemsize
        while len(content):
            written = os.pwritev(self._file.fileno(), [content[:_AT_ONCE]], place)
            content, place = content[written:], place + written

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

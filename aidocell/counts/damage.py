"""Turn what libraries raise on broken files into errors that name the file and the part."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidocell.counts.limits import bounded_memory, most_gib
from aidocell.errors import InputError
from aidocell.files import raise_if_disk_failed

__all__ = ["STORE_SUFFIX", "damaged", "reading"]

STORE_SUFFIX = ".zarr.zip"
# What HDF5, Zarr, zip, gzip and text readers raise on broken content.
_BROKEN = (
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    OverflowError,
    zlib.error,
    zipfile.BadZipFile,
)


def damaged(path: str | Path, why: str, *, fix: str | None = None) -> InputError:
    """``E_STORE_DAMAGED`` for anything named ``*.zarr.zip``, ``E_FILE_DAMAGED`` otherwise."""
    if str(path).endswith(STORE_SUFFIX):
        what = f"{path} is torn or changed: {why}"
        return InputError("E_STORE_DAMAGED", what, fix=fix or "copy it again, or make it again")
    fix = fix or "copy or download it again, and compare its checksum with the source"
    return InputError("E_FILE_DAMAGED", f"{path} is damaged: {why}", fix=fix)


@contextmanager
def reading(path: str | Path, part: str) -> Iterator[None]:
    """Name the file and the part of it where a read fails, or asks for too much memory."""
    try:
        with bounded_memory():
            yield
    except MemoryError as error:
        raise damaged(
            path,
            f"reading {part} takes over {most_gib():g} GiB of memory",
            fix="copy it again; if it is good and that large, raise AIDOCELL_PROBE_GIB",
        ) from error
    except _BROKEN as error:
        if isinstance(error, OSError):
            raise_if_disk_failed(error, path)
        first_line = (str(error).splitlines() or [""])[0]
        raise damaged(
            path, f"reading {part} failed ({type(error).__name__}: {first_line})"
        ) from error

"""What kind of INPUT a path is, told by its content; needs the standard library alone."""

from __future__ import annotations

import gzip
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from aidocell.counts.damage import STORE_SUFFIX, damaged, reading
from aidocell.errors import InputError

__all__ = ["Located", "locate", "mtx_files", "open_text"]

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
GZIP = b"\x1f\x8b"
_HEAD, _TAR = 300, 257  # bytes looked at, and where tar has its mark
FEATURES = ("features.tsv", "genes.tsv")
_ROOTS = ("zarr.json", ".zgroup", ".zmetadata")
_FIX = (
    "give a raw-count .h5ad, a 10x .h5, a 10x matrix folder, a Zarr AnnData (folder or zip) "
    "or a counts.zarr.zip"
)
_FROM_R = "write the counts from R as a 10x matrix folder or an .h5ad, and give that"
_AS_H5AD = "save an AnnData of it as .h5ad"
_AGAIN = "download the file itself"
# Kinds of file that people try, by their first bytes: what it is, and what to do.
_OTHERS = (
    (b"%%Matr", "a single Matrix Market file", "give the folder that holds it and its two tables"),
    (b"PAR1", "a Parquet table", _AS_H5AD),
    (b"RDX", "an R file", _FROM_R),
    (b"X\n\0\0\0", "an R object", _FROM_R),
    (b"BZh", "bzip2-compressed", "unpack it first"),
    (b"\xfd7zXZ", "xz-compressed", "unpack it first"),
    (b"\x80\x04\x95", "a Python pickle, which is never opened", _AS_H5AD),
    (b"\x80\x05\x95", "a Python pickle, which is never opened", _AS_H5AD),
    (b"<!", "a web page", _AGAIN),
    (b"<htm", "a web page", _AGAIN),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file with `git lfs pull`"),
)


@dataclass(frozen=True)
class Located:
    """A path and what it holds.

    Attributes
    ----------
    kind
        ``"hdf5"``, ``"zarr"`` (a folder), ``"zarr-zip"`` or ``"mtx"``.
    root
        Folder of the store inside a zip, ``""`` at the top.
    """

    path: Path
    kind: str
    root: str = ""


def locate(path: str | Path) -> Located:
    """Tell the kind of INPUT at `path`.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_FILE_FORMAT``, or damage that shows in the first bytes.
    """
    path = Path(path)
    there = os.path.exists(path)  # noqa: PTH110  pathlib raises on names longer than allowed
    if not there or not os.access(path, os.R_OK):
        why = "cannot be read" if there else "does not exist"
        raise InputError(
            "E_FILE_MISSING", f"{path} {why}", fix="check the path and its permissions"
        )
    if path.is_dir():
        return _locate_folder(path)
    if not path.is_file():
        raise _format(path, "is neither a file nor a folder")
    return _locate_file(path)


def _format(path: Path, what: str, fix: str = _FIX) -> InputError:
    return InputError("E_FILE_FORMAT", f"{path} {what}", fix=fix)


# ---------------------------------------------------------------- files


def _locate_file(path: Path) -> Located:
    with reading(path, "its first bytes"):
        with path.open("rb") as handle:
            head = handle.read(_HEAD)
        is_hdf5 = _is_hdf5(path, head)
    if is_hdf5:
        return Located(path, "hdf5")
    if head.startswith((ZIP, EMPTY_ZIP)):
        return Located(path, "zarr-zip", _root_in_zip(path))
    raise _unknown_file(path, head)


def _is_hdf5(path: Path, head: bytes) -> bool:
    """HDF5 begins at byte 0, or after a user block of 512 bytes doubled any number of times."""
    if head.startswith(HDF5):
        return True
    offset, size = 512, path.stat().st_size
    with path.open("rb") as handle:
        while offset + len(HDF5) <= size:
            handle.seek(offset)
            if handle.read(len(HDF5)) == HDF5:
                return True
            offset *= 2
    return False


def _unknown_file(path: Path, head: bytes) -> InputError:
    if path.name.endswith(STORE_SUFFIX):
        return damaged(path, "it is no zip file")
    if not head:
        return _format(path, "is empty")
    if _nearly(head, HDF5):
        return damaged(path, "its first bytes are nearly those of an HDF5 file")
    if head.startswith(GZIP):
        return _gzipped(path)
    if head[_TAR:].startswith(b"ustar"):
        return _format(path, "is a tar archive", "unpack it, and give the matrix in it")
    if (known := _known(head)) is not None:
        return _format(path, f"is {known[0]}", known[1])
    return _format(path, "is no count matrix in a known format (neither HDF5 nor Zarr)")


def _known(head: bytes) -> tuple[str, str] | None:
    return next(((what, fix) for start, what, fix in _OTHERS if head.startswith(start)), None)


def _gzipped(path: Path) -> InputError:
    """What is in it may be nothing to unpack: R's files are gzipped as they are."""
    with reading(path, "its first bytes"), gzip.open(path) as handle:
        known = _known(handle.read(_HEAD))
    if known is None:
        return _format(path, "is gzip-compressed", "unpack it first")
    return _format(path, f"is {known[0]} (gzip-compressed)", known[1])


def _nearly(head: bytes, signature: bytes) -> bool:
    return sum(a == b for a, b in zip(head, signature, strict=False)) >= len(signature) - 2


def _root_in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise damaged(path, f"its zip directory cannot be read ({error})") from error
    roots = [PurePosixPath(name).parent for name in names if PurePosixPath(name).name in _ROOTS]
    if roots:
        root = min(roots, key=lambda folder: (len(folder.parts), str(folder)))
        return "" if str(root) == "." else str(root)
    if any("matrix.mtx" in name for name in names):
        raise _format(path, "is a zipped matrix folder", "unpack it and give the folder")
    if path.name.endswith(STORE_SUFFIX):
        raise damaged(path, "there is no Zarr store in it")
    if "xl/workbook.xml" in names:
        raise _format(path, "is a spreadsheet", _AS_H5AD)
    raise _format(path, "is a zip file without a Zarr store in it")


# ---------------------------------------------------------------- folders


def _locate_folder(path: Path) -> Located:
    try:
        names = sorted(part.name for part in path.iterdir())
    except OSError as error:
        what = f"the folder {path} cannot be read"
        raise InputError("E_FILE_MISSING", what, fix="check its permissions") from error
    if any(name in _ROOTS for name in names):
        return Located(path, "zarr")
    if {"matrix.mtx", "matrix.mtx.gz"} & set(names):
        mtx_files(path)
        return Located(path, "mtx")
    raise _unknown_folder(path, names)


def _unknown_folder(path: Path, names: list[str]) -> InputError:
    if not names:
        return _format(path, "is an empty folder")
    inside = [name for name in names if _is_input_folder(path / name)]
    if inside:
        what = f"is a folder of folders, with a matrix in {', '.join(inside[:5])}"
        return _format(path, what, f"give {path / inside[0]}")
    what = f"is no Zarr store and no 10x matrix folder (it holds {', '.join(names[:5])})"
    return _format(path, what)


def _is_input_folder(path: Path) -> bool:
    return any((path / name).exists() for name in (*_ROOTS, "matrix.mtx", "matrix.mtx.gz"))


def mtx_files(path: Path) -> tuple[Path, Path, Path]:
    """Matrix, barcodes and features of a 10x matrix folder, each of them gzipped or not.

    Raises
    ------
    InputError
        ``E_FILE_FORMAT``: one of the three is not there.
    """
    wanted = (("matrix.mtx",), ("barcodes.tsv",), FEATURES)
    found = [_first_there(path, names) for names in wanted]
    missing = [" or ".join(names) for names, file in zip(wanted, found, strict=True) if not file]
    if missing:
        what = f"lacks {' and '.join(missing)} (or the same with .gz)"
        raise _format(path, what, "put matrix, barcodes and features into one folder")
    return tuple(found)


def _first_there(folder: Path, names: tuple[str, ...]) -> Path | None:
    files = [folder / f"{name}{end}" for name in names for end in ("", ".gz")]
    return next((file for file in files if file.is_file()), None)


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not whatever its name, as UTF-8."""
    with path.open("rb") as handle:
        gzipped = handle.read(2) == GZIP
    if gzipped:
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")

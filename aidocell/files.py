"""Files that are whole or absent: temporary sibling, flush, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aidocell.errors import InputError, MachineError
from aidocell.temporaries import NAME_ADDED, remove, temporary_beside

__all__ = [
    "atomic",
    "folder_of",
    "fsync_folder",
    "json_bytes",
    "raise_if_disk_failed",
    "read_json",
    "refuse_existing",
    "remove",
    "require_space",
    "sha256_file",
    "write_json",
]

# what every folder that a command writes holds
_MARKS = ("classifier.json", "summary.json", "report.html", "pretraining_loss.svg")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK_FAILED = (errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO, errno.EUCLEAN)
_NOT_WRITABLE = (
    errno.EACCES,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EPERM,
    errno.EROFS,
)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed and renamed into place.

    The body may create a file or a folder there. On any error it is removed and nothing
    appears under the final name. The temporary name is unique per process, so two writers of
    one output do no harm: the last rename wins. What killed writers left there is deleted.

    Raises
    ------
    InputError
        ``E_USAGE``: nothing can be written there.
    MachineError
        ``E_DISK_FULL``: a write failed for lack of space; ``E_DISK_FAILED``: or for another fault
        of the disk.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        _rename(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        _explain(error, path, temporary)
        raise
    finally:
        remove(temporary)


def _explain(error: OSError, path: Path, temporary: Path) -> None:
    """Raise in the user's terms what kept `path` from being written; return where it is a bug."""
    raise_if_disk_failed(error, path)
    named = str(error.filename)
    above = Path(named) in path.parents
    no_folder = error.errno == errno.ENOENT and above  # of the system, in which none can be made
    if no_folder or (error.errno in _NOT_WRITABLE and (above or named.startswith(str(temporary)))):
        raise _not_writable(path, str(error.strerror)) from error


def raise_if_disk_failed(error: OSError, path: object) -> None:
    """Raise ``E_DISK_FULL`` or ``E_DISK_FAILED`` if that is what kept `path` from being written."""
    if error.errno in _FULL:
        raise MachineError(
            "E_DISK_FULL",
            f"no space left while writing {path}",
            fix="free some space there, then run the same command again",
        ) from error
    if error.errno in _DISK_FAILED:
        raise MachineError(
            "E_DISK_FAILED",
            f"the disk failed at {path} ({os.strerror(error.errno)})",
            fix="have that disk or its network connection checked, then run the same command again",
        ) from error


def folder_of(path: str | Path) -> Path:
    """The nearest folder above `path` that is there, in which it would be made."""
    return next(parent for parent in Path(path).absolute().parents if parent.exists())


def require_space(path: str | Path, needed: int, *, what: str) -> None:
    """Refuse work whose result will not fit on the disk of `path`, before it begins.

    Parameters
    ----------
    path
        The output; its folder need not be there yet.
    needed
        Bytes that the output and its temporary files will take.
    what
        Names the output in the user's terms.

    Raises
    ------
    MachineError
        ``E_DISK_FULL``: less is free.
    """
    folder = folder_of(path)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            "E_DISK_FULL",
            f"{what} needs about {needed / 2**30:.1f} GiB in {folder}, and {free / 2**30:.1f} GiB are free",
            fix="free some space there, or choose another folder; then run the same command again",
        )


def _not_writable(path: str | Path, why: str) -> InputError:
    return InputError(
        "E_USAGE", f"{path} cannot be written ({why})", fix="choose an output that can be written"
    )


def _flush(path: Path) -> None:
    for part in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        with part.open("rb") as handle:
            os.fsync(handle.fileno())


def _rename(temporary: Path, path: Path) -> None:
    """Rename over `path`; a folder cannot replace a full one, so that is moved aside first."""
    if temporary.is_dir() and path.exists():
        aside = path.with_name(f"{temporary.name}.old")
        path.rename(aside)
        temporary.rename(path)
        remove(aside)
    else:
        temporary.replace(path)


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_existing(
    path: str | Path, *, overwrite: bool, inputs: Sequence[str | Path] = ()
) -> None:
    """Refuse an output before any work is done for it.

    Parameters
    ----------
    inputs
        What the output is made from: it is never replaced, also with `overwrite`.

    Raises
    ------
    InputError
        ``E_OUTPUT_EXISTS``: `path` is there and may not be replaced; ``E_USAGE``: it could not be
        written, or is one of `inputs`.
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise _not_writable(path, "it is a way to a folder, not a name")
    try:
        there = path.exists()
        folder = folder_of(path)
        path.with_name(path.name + "x" * NAME_ADDED).exists()
    except OSError as error:
        raise _not_writable(path, str(error.strerror)) from error
    if there and any(_is_same(path, source) for source in inputs):
        raise InputError("E_USAGE", f"{path} is the input itself", fix="choose another output")
    if there and not overwrite:
        raise InputError(
            "E_OUTPUT_EXISTS", f"{path} is already there", fix="give --overwrite to replace it"
        )
    if there and _is_foreign(path):
        raise InputError(
            "E_OUTPUT_EXISTS",
            f"{path} is a folder with content that aidocell did not write",
            fix="choose another output; such a folder is never replaced",
        )
    if not folder.is_dir():
        raise _not_writable(path, f"{folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(path, f"no permission to write to {folder}")


def _is_same(path: Path, source: str | Path) -> bool:
    try:
        return path.samefile(source)
    except (OSError, ValueError):  # a source that is not there is for its reader to name
        return False


def _is_foreign(path: Path) -> bool:
    """Whether `path` is a folder that no command wrote: replacing it could cost a user's home."""
    own = any((path / mark).is_file() for mark in _MARKS)
    return path.is_dir() and any(path.iterdir()) and not own


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: str | Path) -> dict:
    """An object that :func:`write_json` wrote; records with a seal are for :mod:`aidocell.records`.

    Raises
    ------
    InputError
        ``E_STORE_DAMAGED``: it is no such record.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _no_record(path) from error
    if not isinstance(content, dict):
        raise _no_record(path)
    return content


def _no_record(path: str | Path) -> InputError:
    what = f"{path} is torn or changed: it is no record that aidocell wrote"
    return InputError("E_STORE_DAMAGED", what, fix="delete it and run the same command again")


def json_bytes(content: object) -> bytes:
    """The bytes of `content` as readable JSON, the same each time."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    # names of files need not be UTF-8; escaped like this they are valid JSON
    return (text + "\n").encode("utf-8", errors="backslashreplace")


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as readable JSON, atomically and with the same bytes each time."""
    with atomic(path) as temporary:
        temporary.write_bytes(json_bytes(content))

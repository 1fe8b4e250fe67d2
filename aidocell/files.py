"""Files that are whole or absent: temporary sibling, flush, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidocell.errors import InputError, MachineError

__all__ = ["atomic", "fsync_folder", "refuse_existing", "remove", "sha256_file", "write_json"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed and renamed into place.

    The body may create a file or a folder there. On any error it is removed and nothing
    appears under the final name. The temporary name is unique per process, so two writers of
    one output do no harm: the last rename wins.

    Raises
    ------
    MachineError
        ``E_DISK_FULL``: a write failed for lack of space.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _flush(temporary)
        _rename(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError(
                "E_DISK_FULL",
                f"no space left while writing {path}",
                fix="free some space there, then run the same command again",
            ) from error
        raise
    finally:
        remove(temporary)


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


def remove(path: Path) -> None:
    """Delete a file or folder that may not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_existing(path: str | Path, *, overwrite: bool) -> None:
    """Raise ``E_OUTPUT_EXISTS`` if `path` is there and may not be replaced."""
    if Path(path).exists() and not overwrite:
        raise InputError(
            "E_OUTPUT_EXISTS", f"{path} is already there", fix="give --overwrite to replace it"
        )


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as readable JSON, atomically and with the same bytes each time."""
    with atomic(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")

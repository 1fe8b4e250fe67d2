"""Temporary files beside outputs, and the removal of those that killed processes left there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["NAME_ADDED", "remove", "temporaries_under", "temporary_beside"]

NAME_ADDED = 40  # letters at most that such names have more than the output's
_SECONDS_UNTIL_ABANDONED = 24 * 3600  # where the writer cannot be asked: it ran elsewhere
_TRIES, _SECONDS_BETWEEN_TRIES = 40, 0.05
_NAME = re.compile(r"\.(?P<place>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}\.tmp(\.folder|\.old)?")


def temporary_beside(path: Path) -> Path:
    """A hidden name beside `path` that no other process uses, to be renamed to it when whole.

    What killed writers of the same `path` left there is deleted: that of dead processes of this
    host, and that of other hosts once it is a day old.
    """
    prefix = f".{path.name}"
    with suppress(OSError), os.scandir(path.parent) as siblings:  # no such folder yet, or no right
        for sibling in [entry.name for entry in siblings if entry.name.startswith(prefix)]:
            named = _NAME.fullmatch(sibling.removeprefix(prefix))
            left = path.with_name(sibling)
            if named and _is_abandoned(left, named["place"], int(named["pid"])):
                with suppress(OSError):  # somebody else deletes it too, or may alone
                    remove(left)
    return path.with_name(f"{prefix}.{_place()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def temporaries_under(folder: Path) -> Iterator[Path]:
    """All temporary files and folders below `folder`, those of living processes of this host apart.

    Whether their writers on other hosts have ended is for the caller to know.
    """
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            named = _NAME.search(name)
            if not named or not name.startswith(".") or named.end() < len(name):
                continue
            if named["place"] != _place() or not _lives(int(named["pid"])):
                yield Path(parent, name)
        folders[:] = [name for name in folders if not _NAME.search(name)]


def remove(path: Path) -> None:
    """Delete a file or folder that may not be there."""
    if not os.path.lexists(path):  # also what can be no path at all
        return
    if path.is_dir() and not path.is_symlink():
        _remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def _remove_folder(path: Path) -> None:
    """Delete a folder in which threads, or another process that clears it up, may still work."""
    for left in reversed(range(_TRIES)):
        try:
            shutil.rmtree(path)
            return
        except OSError as error:
            if not path.exists():
                return
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or not left:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _is_abandoned(left: Path, place: str, pid: int) -> bool:
    if place == _place():
        return not _lives(pid)
    try:
        return time.time() - left.lstat().st_mtime > _SECONDS_UNTIL_ABANDONED
    except FileNotFoundError:
        return False


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@cache
def _place() -> str:
    """Where a process number means something: this host and, in a container, its own numbers."""
    own = Path("/proc/self/ns/pid")
    numbers = own.readlink() if own.is_symlink() else ""
    return f"{zlib.crc32(f'{socket.gethostname()} {numbers}'.encode()):08x}"

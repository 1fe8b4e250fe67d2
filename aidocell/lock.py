"""One process at a time on one output."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from aidocell.errors import MachineError

__all__ = ["hold"]


@contextmanager
def hold(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path` while the body runs.

    The lock of a dead process of this host is taken over.

    Raises
    ------
    MachineError
        ``E_LOCKED``: a living process of this host, or any process of another host, holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _acquire(path: Path) -> None:
    mine = json.dumps(
        {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
    )
    while True:
        # written aside and linked, so that a lock file always names its owner
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(mine)
        try:
            os.link(draft, path)
        except FileExistsError:
            _clear_if_dead(path)
        else:
            return
        finally:
            draft.unlink()


def _clear_if_dead(path: Path) -> None:
    try:
        owner = json.loads(path.read_text())
    except FileNotFoundError:
        return  # released in the meantime
    here = owner["host"] == socket.gethostname()
    if here and _born(owner["pid"]) != owner["born"]:
        path.unlink(missing_ok=True)
        return
    raise MachineError(
        "E_LOCKED",
        f"process {owner['pid']} on {owner['host']} holds {path}",
        fix="wait for it to end"
        if here
        else f"make sure that it has ended there, then delete {path}",
    )


def _born(pid: int) -> float | None:
    """Start time of a process, which tells it from a later one with the same number."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None

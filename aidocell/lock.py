"""One process at a time on one output."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidocell.errors import MachineError
from aidocell.files import raise_if_disk_failed
from aidocell.temporaries import temporary_beside

__all__ = ["born", "hold", "this_process"]


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
    mine = json.dumps(this_process())
    while True:
        # written aside and linked, so that a lock file always names its owner
        draft = temporary_beside(path)
        try:
            draft.write_text(mine)
            os.link(draft, path)
        except FileExistsError:
            _clear_if_dead(path)
        except OSError as error:
            raise_if_disk_failed(error, path)
            raise
        else:
            return
        finally:
            draft.unlink(missing_ok=True)


def _clear_if_dead(path: Path) -> None:
    """Delete the lock of a dead process of this host; one taker at a time looks at it.

    Without that, the second of two takers would delete the lock that the first one just made.
    """
    try:
        with path.open("r+b") as lock:  # NFS locks only what is open for writing
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return  # somebody else cleared it
            _require_dead(lock.read(), path)
            path.unlink()
    except FileNotFoundError:
        return  # released in the meantime
    except OSError as error:
        raise _unclear(path, f"cannot be read ({error.strerror})") from error


def _require_dead(content: bytes, path: Path) -> None:
    try:
        owner = json.loads(content)
        host, pid, began = owner["host"], int(owner["pid"]), owner["born"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unclear(path, "does not say which process holds it") from error
    if host != socket.gethostname():
        raise MachineError(
            "E_LOCKED",
            f"process {pid} on {host} holds {path}",
            fix=f"make sure that it has ended there, then delete {path}",
        )
    if born(pid) == began:
        raise MachineError("E_LOCKED", f"process {pid} holds {path}", fix="wait for it to end")


def _unclear(path: Path, why: str) -> MachineError:
    return MachineError(
        "E_LOCKED",
        f"the lock {path} {why}",
        fix="make sure that no run is at work on this output, then delete that file",
    )


def this_process() -> dict[str, str | int | None]:
    """Host, pid and birth, by which other processes can tell whether this one lives."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "born": born(pid)}


def born(pid: int) -> str | None:
    """When a living process began, which tells it from a later one with the same number.

    In ticks since the boot that is named with it, since the clock may be set meanwhile; None for
    one that is dead, or dead and not yet waited for.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status.rpartition(")")[2].split()  # from the third on: the second is a name
    if fields[0] in "ZX":
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"

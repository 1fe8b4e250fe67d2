"""Limits of time, memory and output for reading what strangers made.

``AIDOCELL_PROBE_SECONDS`` (120 by default) is how long the first look at a file may take,
``AIDOCELL_PROBE_GIB`` (8 by default) how much memory one file may ask for, there and afterwards.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aidocell.errors import InputError

__all__ = ["bounded_memory", "confine", "most_gib", "most_seconds", "run"]

_SECONDS = 120.0
_GIB = 8.0
_ANSWER = 1 << 20  # bytes that a child may write
_PAGE = resource.getpagesize()


def most_seconds() -> float:
    """Seconds that the first look at a file may take; ``E_USAGE`` where the setting is none."""
    return _setting("AIDOCELL_PROBE_SECONDS", _SECONDS, 0.0, threading.TIMEOUT_MAX, "seconds")


def most_gib() -> float:
    """Memory that one file may ask for, in GiB; ``E_USAGE`` where the setting is none."""
    return _setting("AIDOCELL_PROBE_GIB", _GIB, 1.0, 1e6, "GiB, 1 or more")


def _setting(name: str, default: float, least: float, most: float, unit: str) -> float:
    given = os.environ.get(name) or default
    with suppress(ValueError):
        number = float(given)
        if number > 0 and least <= number < most:
            return number
    raise InputError("E_USAGE", f"{name} is '{given}'", fix=f"give a number of {unit}, or unset it")


def run(command: Sequence[str], *, environment: Mapping[str, str]) -> tuple[int, bytes, str]:
    """Run a child with all that it starts; its status, and what it wrote to stdout and stderr.

    Raises
    ------
    subprocess.TimeoutExpired
        After :func:`most_seconds`; the child and its own children are killed then, as on any
        other end of the wait.
    """
    limit = most_seconds()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as complaint:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=complaint,
            env=environment,
            process_group=0,
        )
        try:
            status = child.wait(limit)
        except BaseException:  # the time is up, or whoever waits gives up
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        answer.seek(0)
        complaint.seek(0)
        return status, answer.read(_ANSWER), complaint.read(_ANSWER).decode(errors="replace")


def confine() -> None:
    """Bind this process, a child, to its limits for good."""
    for what, most in (
        (resource.RLIMIT_AS, _held() + int(most_gib() * 2**30)),
        (resource.RLIMIT_CPU, int(most_seconds()) + 10),
        (resource.RLIMIT_FSIZE, _ANSWER),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (_at_most(most, what), _at_most(most, what)))


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Refuse to this process, for the time of one read, more memory than a file may ask for.

    What asks for more gets a ``MemoryError``, instead of the process being killed.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = _at_most(_held() + int(most_gib() * 2**30), resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _held() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE


def _at_most(wanted: int, what: int) -> int:
    """`wanted`, or a limit that is already there and lower."""
    limits = [n for n in resource.getrlimit(what) if n != resource.RLIM_INFINITY]
    return min([wanted, *limits])

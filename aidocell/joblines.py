"""What the log of a job says: how it ended, or whether it still gives a sign of life.

The lines are those of :mod:`aidocell.joblog`. Imports nothing heavy, so that a look at thousands of
logs on a login node is quick.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aidocell.joblog import BUG, DONE

__all__ = ["JobLog", "read_log"]

_BYTES_READ = 1 << 18
_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ([A-Z]+) (?:\[[^\]]*\] )?(.*)")
_STARTED = re.compile(r"started on (\S+), process (\d+)(?:, Slurm job (\d+))?")
_ERROR = re.compile(r"error\[([A-Z_]+)\]: .+")
_STOPPED = re.compile(r"stopped by signal \d+")
_PROGRESS = re.compile(r".*: (\d+) of \d+ cells, (\d[\d.e+-]*) cells/s, \S+ left")


@dataclass(frozen=True)
class JobLog:
    """One log, read.

    Attributes
    ----------
    state
        ``finished``, ``failed``, or ``open``: no line that ends it.
    touched
        When it gave its last sign of life, in seconds since the epoch.
    error, line
        Id of the error, which a bug and a signal have not, and the first line that tells of it.
    host, process, slurm_job
        Where it was started; empty where the log does not say.
    cells, rate
        Cells that it has embedded, and cells per second; None before it tells.
    """

    state: str
    touched: float
    error: str = ""
    line: str = ""
    host: str = ""
    process: str = ""
    slurm_job: str = ""
    cells: int | None = None
    rate: float | None = None


def read_log(path: Path) -> JobLog | None:
    """Read the log of a job; None where there is no such file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        with path.open("rb") as handle:
            head = handle.read(_BYTES_READ)
            if status.st_size > 2 * _BYTES_READ:
                handle.seek(-_BYTES_READ, 2)
            tail = handle.read()
    except FileNotFoundError:  # deleted since its folder was listed
        return None
    lines = (head + tail).decode(errors="replace").splitlines()
    return JobLog(touched=status.st_mtime, **_ending(lines), **_start(lines), **_progress(lines))


def _ending(lines: Sequence[str]) -> dict[str, str]:
    last = next((n for n in reversed(range(len(lines))) if _LINE.fullmatch(lines[n])), None)
    if last is None:
        return {"state": "open"}
    level, message = _LINE.fullmatch(lines[last]).groups()
    if message == DONE and level == "INFO":
        return {"state": "finished"}
    if level != "ERROR":
        return {"state": "open"}
    if found := _ERROR.fullmatch(message):
        return {"state": "failed", "error": found[1], "line": message}
    if _STOPPED.fullmatch(message):
        return {"state": "failed", "line": message}
    if message == BUG:
        return {"state": "failed", "line": f"a bug: {_raised(lines[last + 1 :])}"}
    return {"state": "open"}


def _raised(traceback: Sequence[str]) -> str:
    """The first line of the exception that a traceback, indented by two spaces, ends with."""
    first = 0
    for number, line in enumerate(traceback):
        if line.startswith(("  Traceback", "    ")):  # a frame, or the begin of the next one's
            first = number + 1
    return traceback[first].strip() if first < len(traceback) else ""


def _start(lines: Sequence[str]) -> dict[str, str]:
    found = _LINE.fullmatch(lines[0]) if lines else None
    begun = _STARTED.fullmatch(found[2]) if found else None
    if not begun:
        return {}
    return {"host": begun[1], "process": begun[2], "slurm_job": begun[3] or ""}


def _progress(lines: Sequence[str]) -> dict[str, int | float]:
    for line in reversed(lines):
        if found := _PROGRESS.fullmatch(line):
            return {"cells": int(found[1]), "rate": float(found[2])}
    return {}

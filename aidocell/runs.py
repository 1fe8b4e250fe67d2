"""Which Snakemake works in a folder: its processes here, and a record for other hosts."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from aidocell.files import read_json, write_json
from aidocell.lock import born, this_process

__all__ = ["controllers", "locks_of", "record_of", "record_run", "run_elsewhere", "workers"]


def record_of(folder: Path) -> Path:
    """Where the run in `folder` says which process it is."""
    return folder / ".snakemake/aidocell-run.json"


def locks_of(folder: Path) -> Path:
    """Where Snakemake keeps its locks: one file a set of inputs or outputs."""
    return folder / ".snakemake/locks"


def record_run(folder: str | Path = ".") -> None:
    """Leave word that this process runs the workflow in `folder`; the next run replaces it."""
    write_json(record_of(Path(folder)), this_process())


def run_elsewhere(folder: Path) -> tuple[str, int] | None:
    """Host and process of the last run, if that was on another host, where it may still live.

    Raises
    ------
    InputError
        ``E_STORE_DAMAGED``: the record is torn.
    """
    if not record_of(folder).exists():
        return None
    record = read_json(record_of(folder))
    if record["host"] == socket.gethostname():
        return None
    return record["host"], record["pid"]


def controllers(folder: Path) -> list[int]:
    """Living processes of this host that run a workflow in `folder`."""
    found = [pid for pid, mode in _snakemakes(folder) if mode == "default"]
    recorded = _recorded(folder)
    return found if recorded is None or recorded in found else [*found, recorded]


def workers(folder: Path) -> list[int]:
    """Living processes of this host that run a job in `folder`, those under Slurm apart."""
    return [pid for pid, mode in _snakemakes(folder) if mode == "subprocess"]


def _recorded(folder: Path) -> int | None:
    """The process of the record, if it lives: another user's cannot be told by its folder."""
    if not record_of(folder).exists() or run_elsewhere(folder):
        return None
    record = read_json(record_of(folder))
    alive = record["born"] is not None and born(record["pid"]) == record["born"]
    return record["pid"] if alive and record["pid"] != os.getpid() else None


def _snakemakes(folder: Path) -> list[tuple[int, str]]:
    """Process and mode of each Snakemake at work in `folder`."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "status"]):
        words = process.info["cmdline"] or []
        named = "snakemake" in [Path(word).name for word in words[:3]]
        here = process.info["cwd"] is not None and Path(process.info["cwd"]) == folder
        if named and here and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append((process.info["pid"], _mode(words)))
    return [(pid, mode) for pid, mode in found if pid != os.getpid()]


def _mode(words: list[str]) -> str:
    """What Snakemake calls its role: ``default``, or ``subprocess`` and ``remote`` for jobs."""
    if "--mode" not in words[:-1]:
        return "default"
    return words[words.index("--mode") + 1]

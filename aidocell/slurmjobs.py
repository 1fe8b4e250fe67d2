"""The Slurm jobs of the runs in a folder: found, and cancelled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aidocell.errors import MachineError

__all__ = ["SlurmJob", "cancel", "has_slurm", "living_jobs", "run_ids"]

# the plugin names every job of a run by this id; a site may have set a prefix
_RUN_ID = re.compile(
    r"SLURM run ID: ((?:[A-Za-z0-9_-]{1,50}_)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\s*$"
)
_PATIENCE = 300  # seconds until cancelled jobs must have ended


@dataclass(frozen=True)
class SlurmJob:
    """A job that Slurm has not done with.

    Parameters
    ----------
    id, state, run
        As ``squeue`` has them; `run` is the id of the run that submitted it.
    seconds
        How long it has run.
    """

    id: str
    state: str
    run: str
    seconds: int


def has_slurm() -> bool:
    """Whether this machine can ask Slurm."""
    return shutil.which("squeue") is not None


def run_ids(folder: Path) -> set[str]:
    """Ids of all runs that were started in `folder` on Slurm, from Snakemake's logs."""
    logs = sorted((folder / ".snakemake/log").glob("*.snakemake.log"))
    return {id for path in logs for id in _ids_in(path)}


def _ids_in(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := _RUN_ID.search(line):
                yield match[1]


def living_jobs(runs: set[str]) -> list[SlurmJob]:
    """This user's jobs of `runs` that wait, run or are ending.

    Raises
    ------
    MachineError
        ``E_LOCKED``: Slurm does not answer, so such jobs may be there.
    """
    if not runs:
        return []
    listed = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%T|%M|%j"]
    rows = [line.split("|", 3) for line in _ask(listed).splitlines()]
    return [
        SlurmJob(id, state, run, _seconds(elapsed))
        for id, state, elapsed, run in rows
        if run in runs
    ]


def _ask(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise MachineError(
            "E_LOCKED",
            f"Slurm does not say whether jobs of the run are left ({said})",
            fix="run the same command again when squeue works",
        ) from error
    return done.stdout


def _seconds(elapsed: str) -> int:
    """Of ``D-HH:MM:SS``, ``HH:MM:SS``, ``MM:SS``; zero where Slurm has no figure."""
    days, _, clock = elapsed.rpartition("-")
    if not re.fullmatch(r"\d*", days) or not re.fullmatch(r"\d+(:\d+){1,2}", clock):
        return 0
    parts = [0, *map(int, clock.split(":"))][-3:]
    return int(days or 0) * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2]


def cancel(jobs: list[SlurmJob]) -> None:
    """Cancel the jobs and those that their runs still submit; return when all have ended.

    Raises
    ------
    MachineError
        ``E_LOCKED``: some have not ended after five minutes, or Slurm does not answer.
    """
    runs = {job.run for job in jobs}
    for run in sorted(runs):
        # a job that ended meanwhile is an error to scancel; what is left is looked at below
        subprocess.run(
            ["scancel", f"--user={os.getuid()}", f"--name={run}"],
            capture_output=True,
            timeout=120,
            check=False,
        )
    deadline = time.monotonic() + _PATIENCE
    while left := living_jobs(runs):
        if time.monotonic() > deadline:
            raise _not_ending(left)
        time.sleep(1)


def _not_ending(jobs: list[SlurmJob]) -> MachineError:
    ids = ", ".join(job.id for job in jobs[:5])
    return MachineError(
        "E_LOCKED",
        f"{len(jobs)} cancelled Slurm jobs have not ended ({ids}{', …' if len(jobs) > 5 else ''})",
        fix="run the same command again later; a node that hangs is for the cluster's staff",
    )

"""A run that lives and waits for jobs of which nothing will come."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from aidocell.errors import MachineError
from aidocell.lock import born
from aidocell.runs import controllers, workers
from aidocell.slurmjobs import SlurmJob, living_jobs, run_ids

__all__ = ["stop_stalled"]

log = logging.getLogger(__name__)
_TOOLS = {"sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "which"}
_MOMENT = 5  # seconds
_PATIENCE = 60  # seconds for Snakemake to end in order


def stop_stalled(folder: Path, results: Path, *, silent_seconds: float) -> None:
    """Stop the Snakemake in `folder` if it waits for nothing; where none lives, do nothing.

    Parameters
    ----------
    silent_seconds
        For how long no log must have been touched, and every Slurm job that is left must have
        run. A job that works touches its log every few seconds.

    Raises
    ------
    MachineError
        ``E_LOCKED``: the run is at work, or its jobs wait in the queue.
    """
    for pid in controllers(folder):
        if why := _sign_of_life(pid, folder, results, silent_seconds):
            raise MachineError(
                "E_LOCKED",
                f"the run of snakemake (process {pid}) in {folder} has not stalled: {why}",
                fix="wait for it, or stop it with Ctrl-C",
            )
        log.info("snakemake (process %d) waits for nothing in %s; stopping it", pid, folder)
        _stop(pid)


def _sign_of_life(pid: int, folder: Path, results: Path, silent_seconds: float) -> str | None:
    """What shows that the run is at work, or None."""
    if workers(folder) or _local_jobs(pid):
        return "it runs a job on this host"
    silent = time.time() - _last_written(folder, results)
    if silent < silent_seconds:
        return f"a log was written {silent:.0f} s ago"
    for job in living_jobs(run_ids(folder)):
        if why := _job_alive(job, silent_seconds):
            return why
    return None


def _job_alive(job: SlurmJob, silent_seconds: float) -> str | None:
    if job.state not in ("RUNNING", "COMPLETING"):
        return f"its Slurm job {job.id} is {job.state}"
    if job.seconds < silent_seconds:
        return f"its Slurm job {job.id} began {job.seconds} s ago"
    return None


def _local_jobs(pid: int) -> bool:
    """Whether a child stays; one that asks Slurm, or is about to, is over in a moment."""
    before = _children(pid)
    if before:
        time.sleep(_MOMENT)
    return bool(before & _children(pid))


def _children(pid: int) -> set[int]:
    found = set()
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.name() not in _TOOLS and child.status() != psutil.STATUS_ZOMBIE:
                    found.add(child.pid)
    return found


def _last_written(folder: Path, results: Path) -> float:
    """When a log of the run or of one of its jobs was last touched."""
    logs = [*(folder / ".snakemake/log").glob("*.log"), *(results / "logs").rglob("*.log")]
    return max((path.stat().st_mtime for path in logs), default=0.0)


def _stop(pid: int) -> None:
    """As Ctrl-C does, since at SIGTERM Snakemake would wait for its jobs; then for good."""
    try:
        os.kill(pid, signal.SIGINT)
        if not _has_ended(pid):
            log.info("snakemake (process %d) does not end in order; killing it", pid)
            os.kill(pid, signal.SIGKILL)
            _has_ended(pid)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise MachineError(
            "E_LOCKED",
            f"snakemake (process {pid}) is another user's",
            fix="ask them to stop it, or run this command as that user",
        ) from error


def _has_ended(pid: int) -> bool:
    """Whether the process ends in time; one that its parent has not waited for has ended, too."""
    deadline = time.monotonic() + _PATIENCE
    while born(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    return born(pid) is None

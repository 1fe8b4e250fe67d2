"""After a killed run: end its Slurm jobs, and clear what it left locked or half written."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from aidocell.errors import MachineError
from aidocell.runs import controllers, locks_of, record_of, run_elsewhere, workers
from aidocell.slurmjobs import cancel, has_slurm, living_jobs, run_ids
from aidocell.stalled import stop_stalled
from aidocell.temporaries import remove, temporaries_under

__all__ = ["recover"]

log = logging.getLogger(__name__)


def recover(
    results: str | Path = "results",
    *,
    wait: bool = False,
    stalled: bool = False,
    silent_minutes: float = 5,
) -> None:
    """Make the folder of a run that has died ready for the next one.

    Slurm jobs of its runs are cancelled, Snakemake's locks cleared and temporary files of dead
    writers removed. Finished outputs are never touched. Where nothing is left over, nothing
    happens.

    Parameters
    ----------
    results
        The study's results; Snakemake was started in the folder that holds it.
    wait
        Wait for a Snakemake that lives, instead of refusing.
    stalled
        First stop a Snakemake of this host that lives and waits for nothing.
    silent_minutes
        How long nothing must have been heard from a run that counts as stalled.

    Raises
    ------
    MachineError
        ``E_LOCKED``: a Snakemake of this host works there, or one of another host may; the run
        has not stalled; or its Slurm jobs cannot be ended.
    """
    results = Path(os.path.abspath(results))  # noqa: PTH100 (results may be a link to elsewhere)
    folder = results.parent.resolve()
    if stalled:
        stop_stalled(folder, results, silent_seconds=60 * silent_minutes)
    _require_dead(folder, wait=wait)
    jobs_ended = _end_jobs(folder)
    _clear_locks(folder)
    if jobs_ended:
        _remove_leftovers(results)


def _require_dead(folder: Path, *, wait: bool) -> None:
    while pids := [*controllers(folder), *workers(folder)]:
        if not wait:
            raise MachineError(
                "E_LOCKED",
                f"snakemake (process {pids[0]}) is at work in {folder}",
                fix="wait for it to end, or stop it with Ctrl-C",
            )
        log.info("snakemake (process %d) is at work in %s; waiting for it to end", pids[0], folder)
        time.sleep(5)
    if _is_locked(folder) and (elsewhere := run_elsewhere(folder)):
        host, pid = elsewhere
        raise MachineError(
            "E_LOCKED",
            f"the run in {folder} was process {pid} on {host}, and this host cannot tell whether it lives",
            fix=f"run this command on {host}, or, once you know it is dead, delete {record_of(folder)} first",
        )


def _is_locked(folder: Path) -> bool:
    locks = locks_of(folder)
    return locks.exists() and any(locks.iterdir())


def _end_jobs(folder: Path) -> bool:
    """Cancel what Slurm still has of the runs in `folder`; whether it is known that none is left."""
    runs = run_ids(folder)
    if runs and not has_slurm():
        log.warning(
            "earlier runs here were on Slurm, and this machine has no squeue: run the same command "
            "on a login node, where it ends their jobs"
        )
        return False
    if jobs := living_jobs(runs):
        log.info("cancelling %d Slurm jobs of a run that has died", len(jobs))
        cancel(jobs)
    return True


def _clear_locks(folder: Path) -> None:
    if _is_locked(folder):
        log.info("clearing the lock of a run that has died")
        # all that `snakemake --unlock` does, which would need the Snakefile
        remove(locks_of(folder))
    remove(record_of(folder))


def _remove_leftovers(results: Path) -> None:
    leftovers = list(temporaries_under(results))
    for path in leftovers:
        remove(path)
    if leftovers:
        log.info("removed %d temporary files of writers that have died", len(leftovers))

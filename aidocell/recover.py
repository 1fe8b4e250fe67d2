"""After a killed run: clear what it left locked, if it is dead."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import psutil

from aidocell.errors import MachineError
from aidocell.files import remove

__all__ = ["recover"]

log = logging.getLogger(__name__)


def recover(folder: str | Path = ".", *, wait: bool = False) -> None:
    """Unlock the working directory of a workflow whose Snakemake has died.

    Parameters
    ----------
    folder
        Where Snakemake was started: it holds ``.snakemake``.
    wait
        Wait for a Snakemake that lives, instead of refusing.

    Raises
    ------
    MachineError
        ``E_LOCKED``: a Snakemake of this host still works there.
    """
    folder = Path(folder).resolve()
    while pids := _living(folder):
        if not wait:
            raise MachineError(
                "E_LOCKED",
                f"snakemake (process {pids[0]}) is at work in {folder}",
                fix="wait for it to end, or stop it",
            )
        log.info("snakemake (process %d) is at work in %s; waiting for it to end", pids[0], folder)
        time.sleep(5)
    locks = folder / ".snakemake/locks"
    if locks.exists() and any(locks.iterdir()):
        log.info("clearing the lock of a run that has died")
        remove(locks)  # all that `snakemake --unlock` does, which would need the Snakefile


def _living(folder: Path) -> list[int]:
    """Snakemake processes of this host that work in `folder`, this one's ancestors apart."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "status"]):
        words = [Path(word).name for word in process.info["cmdline"] or []]
        named = "snakemake" in words[:3]
        here = process.info["cwd"] is not None and Path(process.info["cwd"]) == folder
        if named and here and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return [pid for pid in found if pid != os.getpid()]

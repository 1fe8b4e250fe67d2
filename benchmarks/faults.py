"""Kills and failing writes by the hundred, each followed by the documented restart; runs alone.

    python benchmarks/faults.py [--kills 200] [--terms 50] [--writes 20] [--snakemake 20]
                                [--output benchmarks/results/faults.json]

Half of the kills are of the stand-alone `aidocell embed`, half of a job of `embed_shard`; four in
five come before a change of files (points spread over all of them), the others at random times.
Every write that fails is one of these, of all commands and rules that write. After each the same
command runs again (after a kill of Snakemake `aidocell recover` before it), and the bytes are
compared with those of an undisturbed run. The first difference ends the program with an error.
"""

# ruff: noqa: E402 the harness is that of the tests, which are no package

from __future__ import annotations

import argparse
import datetime
import errno
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

import psutil

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from campaigns import fail_writes, kill_at_changes, kill_at_times
from faults import Faults
from jobs import Job, command_jobs, embed_job, jobs_of_study, shard_job
from snakemake_kills import KilledStudy

from aidocell.files import write_json

WAYS = [(SIGKILL, "group"), (SIGKILL, "alone"), (SIGTERM, "alone"), (SIGINT, "group")]


def kills(jobs: list[Job], signal: Signals, number: int) -> dict[str, int]:
    """Runs that `signal` ended, by job; each was finished by a restart with the same bytes."""
    share = number // len(jobs)
    at_times = share // 5
    return {
        job.name: kill_at_changes(job, signal, share - at_times)
        + kill_at_times(job, signal, at_times)
        for job in jobs
    }


def failing_writes(jobs: list[Job], points: int) -> dict[str, dict[str, int]]:
    """Runs that ended with their error because writes failed, by job and kind of failure."""
    kinds = {
        "full from then on": {"for_good": True},
        "full once": {"for_good": False},
        "quota from then on": {"for_good": True, "error": errno.EDQUOT},
        "broken once": {"for_good": False, "error": errno.EIO},
    }
    return {
        job.name: {kind: fail_writes(job, points, **how) for kind, how in kinds.items()}
        for job in jobs
    }


def kills_of_snakemake(folder: Path, number: int) -> dict[str, Any]:
    """Kills of Snakemake at points spread over the jobs of a small study, four ways in turn."""
    study = KilledStudy(folder)
    done: dict[str, int] = {}
    for i in range(number):
        signal, target = WAYS[i % len(WAYS)]
        differing = study.kill_and_recover(0.05 + 0.9 * i / number, signal, target)
        if differing:
            raise SystemExit(f"after {signal.name} to {target}: {differing} differ")
        name = f"{signal.name} to {target}"
        done[name] = done.get(name, 0) + 1
    return {"kills": done, "outputs_compared": len(study.expected), "varying": study.varying}


def measured(what: str, work: Callable[[], Any]) -> dict[str, Any]:
    began = time.monotonic()
    found = work()
    print(f"{what}: {found}", flush=True)
    return {"found": found, "minutes": round((time.monotonic() - began) / 60, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill and starve runs, and compare bytes.")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs of embedding")
    parser.add_argument("--terms", type=int, default=50, help="SIGTERMs of embedding")
    parser.add_argument("--writes", type=int, default=20, help="points of failing writes a job")
    parser.add_argument("--snakemake", type=int, default=20, help="kills of Snakemake")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("aidocell", "snakemake", "torch", "zarr")},
        "asked": {name: value for name, value in vars(asked).items() if name != "output"},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("faults", "embed", "shard", "commands", "snakemake"):
            (folder / name).mkdir()
        with Faults.started(folder / "faults") as faults:
            both = [embed_job(faults, folder / "embed"), shard_job(faults, folder / "shard")]
            results["changes"] = {job.name: job.undisturbed(signal=SIGKILL).changes for job in both}
            results["SIGKILL"] = measured("SIGKILL", lambda: kills(both, SIGKILL, asked.kills))
            results["SIGTERM"] = measured("SIGTERM", lambda: kills(both, SIGTERM, asked.terms))
            if asked.writes:
                every = both + command_jobs(faults, folder / "commands")
                every += jobs_of_study(faults, folder / "study")
                results["failing writes"] = measured(
                    "failing writes", lambda: failing_writes(every, asked.writes)
                )
        if asked.snakemake:
            results["Snakemake"] = measured(
                "Snakemake", lambda: kills_of_snakemake(folder / "snakemake", asked.snakemake)
            )
    if asked.output:
        write_json(asked.output, results)


if __name__ == "__main__":
    main()

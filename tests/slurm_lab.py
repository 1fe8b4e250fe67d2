"""What tests on the one-node Slurm of ``tests/slurm`` share."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

__all__ = [
    "NEEDS_SLURM",
    "SMALL",
    "Job",
    "aidocell",
    "done",
    "jobs_of",
    "run",
    "until",
    "urgent_job",
]

T = TypeVar("T")


def slurm_answers() -> bool:
    if not shutil.which("sinfo"):
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0


NEEDS_SLURM = [
    pytest.mark.slurm,
    pytest.mark.timeout(1800),  # a job of the lab takes half a minute or more
    pytest.mark.workflow,
    pytest.mark.skipif(
        not slurm_answers(), reason="no Slurm here; tests/slurm/slurm-up.sh starts one"
    ),
]
# the lab is smaller than a cluster's nodes, and a test cannot wait for cautious polling
SMALL = [
    *("--profile", "slurm", "--jobs", "6", "--latency-wait", "5"),
    *("--slurm-init-seconds-before-status-checks", "5"),
    *("--default-resources", "slurm_partition=cpu", "mem_mb=1500", "runtime=10"),
    *(
        "--set-resources",
        "embed_shard:slurm_partition=gpu",
        "embed_shard:mem_mb=1500",
        "embed_shard:runtime=10",
    ),
]


class Job(NamedTuple):
    id: str
    state: str
    rule: str  # and its wildcards
    partition: str


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs_of(folder: Path, rule: str = "", *states: str) -> list[Job]:
    """Jobs, ended ones too, that a Snakemake in `folder` submitted for `rule`."""
    listing = run("squeue", "--states=all", "--noheader", "--format=%i|%T|%k|%P|%Z")
    rows = [line.split("|") for line in listing.splitlines()]
    jobs = [Job(*row[:4]) for row in rows if Path(row[4]) == folder]
    return [
        job
        for job in jobs
        if job.rule.startswith(f"rule_{rule}") and (not states or job.state in states)
    ]


def until(what: Callable[[], T], *, seconds: float = 1200) -> T:
    """The first answer that is true; asked several times a second."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return answer


def urgent_job() -> None:
    """Take the whole node for a moment, from the jobs that can be preempted."""
    command = ("--mem=100", "--cpus-per-task=8", "--output=/dev/null", "--wrap=sleep 2")
    run("sbatch", "--partition=urgent", "--wait", *command)


def done(process: subprocess.Popen) -> bool:
    return process.poll() is not None


def aidocell(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "aidocell", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

"""What the run took: Snakemake's benchmark files, one line a job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

__all__ = ["Job", "StageTime", "embedding_rate", "read_jobs", "stage_times", "times_the_plan"]

_ROWS = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Job:
    """One finished job.

    Attributes
    ----------
    stage
        The rule's name.
    sample
        Empty for jobs over the whole study.
    cells
        Rows of a shard; None for other jobs.
    key
        First digits of the run key of a shard; empty for other jobs.
    seconds, mebibytes
        Wall time, and largest resident memory (None where it was not measured).
    """

    stage: str
    sample: str
    cells: int | None
    key: str
    seconds: float
    mebibytes: float | None


@dataclass(frozen=True)
class StageTime:
    """All jobs of one stage together; `seconds` is their sum, `longest` the slowest one."""

    stage: str
    jobs: int
    seconds: float
    longest: float
    mebibytes: float | None


def read_jobs(folder: Path, samples: Iterable[str]) -> tuple[Job, ...]:
    """Read ``<rule>/<sample>/….tsv`` and ``<rule>.tsv`` below `folder`, in the order of names."""
    known = set(samples)
    return tuple(
        job for path in sorted(folder.rglob("*.tsv")) if (job := _read(path, folder, known))
    )


def _read(path: Path, folder: Path, samples: set[str]) -> Job | None:
    parts = path.relative_to(folder).with_suffix("").parts
    table = pd.read_csv(path, sep="\t", na_values=["-"])
    if table.empty or "s" not in table:
        return None
    last = table.iloc[-1]
    rows = _ROWS.fullmatch(parts[-1])
    memory = last.get("max_rss")
    return Job(
        stage=parts[0],
        sample=next((part for part in parts[1:] if part in samples), ""),
        cells=int(rows[2]) - int(rows[1]) if rows else None,
        key=parts[-2] if rows and len(parts) > 2 else "",
        seconds=float(last["s"]),
        mebibytes=None if pd.isna(memory) else float(memory),
    )


def stage_times(jobs: Sequence[Job]) -> list[StageTime]:
    """Jobs by stage, the longest stage first."""
    stages: dict[str, list[Job]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job)
    times = [_together(stage, members) for stage, members in stages.items()]
    return sorted(times, key=lambda time: -time.seconds)


def _together(stage: str, jobs: list[Job]) -> StageTime:
    seconds = [job.seconds for job in jobs]
    memory = [job.mebibytes for job in jobs if job.mebibytes is not None]
    return StageTime(stage, len(jobs), sum(seconds), max(seconds), max(memory, default=None))


def embedding_rate(jobs: Sequence[Job]) -> float | None:
    """Cells per second and job over all shards; None where no shard was timed."""
    shards = [job for job in jobs if job.cells]
    seconds = sum(job.seconds for job in shards)
    return sum(job.cells or 0 for job in shards) / seconds if seconds else None


def times_the_plan(jobs: Sequence[Job], plans: Mapping[str, Mapping]) -> float | None:
    """Time that the timed shards took, as a multiple of what was planned for their cells.

    Parameters
    ----------
    plans
        ``shards.json`` by sample; None is the answer where none of them says how long it will take.
    """
    taken = planned = 0.0
    for job in jobs:
        plan = plans.get(job.sample, {})
        if job.cells and "planned" in plan:
            taken += job.seconds
            planned += job.cells * plan["planned"]["seconds"] / plan["cells"]
    return taken / planned if planned else None

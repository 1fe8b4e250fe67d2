"""The state of a run in words, and as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from aidocell.errors import printable
from aidocell.progress import clock, speed
from aidocell.status import SAMPLE_STAGES, STATES, Job, Sample, Status
from aidocell.texttable import table_lines

__all__ = ["describe", "failure_table", "plain"]

_SAMPLES_SHOWN = 20
_JOBS_SHOWN = 50
_LETTERS_SHOWN = 120  # of an error's line; the log has all of it


def describe(status: Status) -> str:
    """What a person wants to know, in lines; nothing in them can move a terminal's cursor."""
    parts = [
        [_head(status)],
        _stages(status),
        _cells(status),
        _samples(status.samples),
        _failed(status),
        _silent(status),
    ]
    return "\n\n".join("\n".join(map(printable, part)) for part in parts if part)


def plain(status: Status) -> dict[str, Any]:
    """For a machine to read: everything of :func:`describe`, and every sample."""
    return {
        "results": str(status.folder),
        "silent_minutes": status.silent_minutes,
        "cells": {
            "planned": status.cells,
            "embedded": status.cells_done,
            "per_second": status.rate,
            "seconds_left": status.seconds_left,
        },
        "stages": {
            stage: {state: counted[state] for state in STATES}
            for stage, counted in status.counts().items()
        },
        "study": {stage: job.state for stage, job in status.study.items()},
        "samples": [_plain_sample(sample) for sample in status.samples],
        "jobs": {
            state: [_plain_job(job) for job in _in_state(status, state)]
            for state in ("running", "failed", "silent")
        },
    }


def failure_table(jobs: Sequence[Job]) -> list[str]:
    """Lines of a table: job, error id, first line, log file; of many jobs the first ones."""
    rows = [(job.name, _id(job), _line(job), str(job.path)) for job in jobs[:_JOBS_SHOWN]]
    return [*table_lines([("job", "error", "first line", "log"), *rows]), *_more(jobs)]


def _more(jobs: Sequence[Job]) -> list[str]:
    more = len(jobs) - _JOBS_SHOWN
    return [f"and {more:,} more: `aidocell status --json` has all"] if more > 0 else []


def _plain_sample(sample: Sample) -> dict[str, Any]:
    return {
        "sample": sample.name,
        "refused": sample.refused,
        "stages": {stage: job.state for stage, job in sample.stages.items()},
        "shards": {s: sum(job.state == s for job in sample.shards) for s in STATES},
        "cells": {
            "planned": sum(job.cells for job in sample.shards) if sample.planned else None,
            "embedded": sum(job.cells_done for job in sample.shards),
        },
    }


def _plain_job(job: Job) -> dict[str, Any]:
    log = job.log
    return {
        "rule": job.rule,
        "sample": job.sample,
        "shard": job.rows,
        "log": str(job.path),
        "error": log.error if log else "",
        "line": log.line if log else "",
        "host": log.host if log else "",
        "slurm_job": log.slurm_job if log else "",
        "seconds_since_sign_of_life": max(time.time() - log.touched, 0) if log else None,
        "cells_embedded": job.cells_done,
        "cells_per_second": log.rate if log else None,
    }


def _in_state(status: Status, state: str) -> list[Job]:
    return [job for job in status.jobs if job.state == state]


def _head(status: Status) -> str:
    refused = sum(sample.refused for sample in status.samples)
    unplanned = sum(not (sample.planned or sample.refused) for sample in status.samples)
    notes = [
        f"{len(status.samples):,} samples",
        *([f"{refused:,} refused"] if refused else []),
        *([f"{unplanned:,} without a plan yet"] if unplanned else []),
    ]
    return f"{status.folder}: {', '.join(notes)}"


def _stages(status: Status) -> list[str]:
    rows = [
        (stage, *(f"{counted[state]:,}" for state in STATES))
        for stage, counted in status.counts().items()
    ]
    study = ", ".join(f"{stage} {job.state}" for stage, job in status.study.items())
    return [*table_lines([("stage", *STATES), *rows]), *([f"study: {study}"] if study else [])]


def _cells(status: Status) -> list[str]:
    if not status.cells:
        return []
    share = status.cells_done / status.cells
    left = status.seconds_left
    now = f", {speed(status.rate)} cells/s now" if status.rate else ", none being embedded now"
    time_left = f", {clock(left)} left for these" if status.rate and left is not None else ""
    done = f"{status.cells_done:,} of {status.cells:,} planned cells embedded ({share:.0%})"
    return [done + (now + time_left if share < 1 else "")]


def _samples(samples: Sequence[Sample]) -> list[str]:
    """Samples that are on their way."""
    open_ones = [
        sample
        for sample in samples
        if not sample.refused and any(job.state != "finished" for job in sample.jobs)
    ]
    rows = [
        (
            sample.name,
            _at(sample),
            f"{sum(job.state == 'finished' for job in sample.shards):,} of {len(sample.shards):,}"
            if sample.planned
            else "-",
        )
        for sample in open_ones[:_SAMPLES_SHOWN]
    ]
    more = len(open_ones) - len(rows)
    return [
        *(table_lines([("sample", "at", "shards"), *rows]) if rows else []),
        *([f"and {more:,} more; --json has all"] if more else []),
    ]


def _at(sample: Sample) -> str:
    """The first stage that is not finished, with the worst that happens there."""
    for stage in SAMPLE_STAGES:
        found = {job.state for job in sample.jobs if job.rule == stage}
        for state in ("failed", "silent", "running", "waiting"):
            if state in found:
                return f"{stage}, {state}"
    return "finished"


def _failed(status: Status) -> list[str]:
    jobs = _in_state(status, "failed")
    return ["failed (a run at work may try it again):", *failure_table(jobs)] if jobs else []


def _silent(status: Status) -> list[str]:
    jobs = _in_state(status, "silent")
    if not jobs:
        return []
    rows = [(job.name, *_last_seen(job), str(job.path)) for job in jobs[:_JOBS_SHOWN]]
    return [
        f"silent: no end in the log, and no sign of life for {status.silent_minutes:g} minutes:",
        *table_lines([("job", "where", "for", "log"), *rows]),
        *_more(jobs),
        *_advice(status, jobs),
    ]


def _advice(status: Status, jobs: Sequence[Job]) -> Iterator[str]:
    slurm = next((job.log.slurm_job for job in jobs if job.log and job.log.slurm_job), None)
    if slurm:
        yield f"A job may have been preempted or have vanished: see `squeue -j {slurm}`."
    else:
        yield "A job may have been killed from outside, for instance for its memory."
    yield (
        f"If its run is still waiting for it, `aidocell recover {status.folder} --stalled` clears it;"
        " if not, start the run again: finished work is kept."
    )


def _last_seen(job: Job) -> tuple[str, str]:
    if job.log is None:
        return "", ""
    where = (
        f"Slurm job {job.log.slurm_job} on {job.log.host}" if job.log.slurm_job else job.log.host
    )
    return where, clock(max(time.time() - job.log.touched, 0))


def _id(job: Job) -> str:
    return job.log.error if job.log and job.log.error else "-"


def _line(job: Job) -> str:
    if job.log is None or job.log.state == "open":
        return "killed or lost: its log has no end"
    line = job.log.line
    return line if len(line) <= _LETTERS_SHOWN else f"{line[:_LETTERS_SHOWN]}…"

"""What failed in a run, summed up when Snakemake ends: one table of jobs."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from aidocell.errors import printable
from aidocell.joblines import JobLog, read_log
from aidocell.status import Job, read_status
from aidocell.statustext import failure_table

__all__ = ["failed_jobs", "sum_up"]

log = logging.getLogger(__name__)

_BLOCK = re.compile(r"^Error in rule (\w+):\n((?:    .*\n?)+)", re.MULTILINE)
_FIELD = re.compile(
    r"^    (output|log): (.*?)(?: \(check log file\(s\) for error details\))?$", re.M
)


@dataclass(frozen=True)
class _Reported:
    """A job that Snakemake calls failed: its outputs, its log and, under Slurm, that of Slurm."""

    rule: str
    outputs: tuple[Path, ...]
    log: Path
    other: Path | None


def sum_up(results: str | Path, snakemake_logs: Sequence[str | Path]) -> None:
    """Write the table of this run's failed jobs to stderr; whatever goes wrong, the run's own error stays."""
    try:
        jobs = failed_jobs(results, snakemake_logs, since=psutil.Process().create_time())
        lines = [f"failed jobs: {len(jobs)}", *failure_table(jobs)] if jobs else []
    except Exception as error:
        lines = [f"the failed jobs cannot be summed up ({error!r}); see {_names(snakemake_logs)}"]
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def failed_jobs(
    results: str | Path, snakemake_logs: Sequence[str | Path], *, since: float
) -> list[Job]:
    """Jobs that failed, were killed or were lost in the run that began at `since`.

    Parameters
    ----------
    results
        The study's results folder, in which no job is at work any more.
    snakemake_logs
        Snakemake's own logs of the run: they know of jobs that ended before they could log a line.
    since
        Seconds since the epoch; jobs that gave their last sign of life earlier are of other runs.
    """
    texts = [Path(path).read_text(encoding="utf-8", errors="replace") for path in snakemake_logs]
    told = {reported.log: reported for text in texts for reported in _reported(text)}
    where = _names(snakemake_logs)
    ended = [
        job
        for job in read_status(results, silent_minutes=0).jobs
        if job.state in ("failed", "silent") and job.log and job.log.touched >= since
    ]
    known = {job.path for job in ended}
    lost = [r for r in told.values() if r.log not in known and not _came_through(r)]
    return [
        *(_explained(job, told.get(job.path), where) for job in ended),
        *(_unlogged(reported, since, where) for reported in lost),
    ]


def _names(paths: Sequence[str | Path]) -> str:
    return ", ".join(map(str, paths)) or "Snakemake's log"


def _reported(text: str) -> Iterator[_Reported]:
    for rule, block in _BLOCK.findall(text):
        fields = {
            name: [Path(p) for p in paths.split(", ")] for name, paths in _FIELD.findall(block)
        }
        logs = fields.get("log", [])
        if logs:
            outputs = tuple(fields.get("output", ()))
            yield _Reported(rule, outputs, logs[0], logs[-1] if len(logs) > 1 else None)


def _came_through(reported: _Reported) -> bool:
    """Whether a later attempt made its outputs."""
    return bool(reported.outputs) and all(path.exists() for path in reported.outputs)


def _explained(job: Job, reported: _Reported | None, where: str) -> Job:
    """A job whose log has no end gets a line that says where to look."""
    if job.log is None or job.log.state == "failed":
        return job
    other = (reported and reported.other) or where
    line = f"killed or lost: see {other}"
    return replace(job, log=replace(job.log, state="failed", line=line))


def _unlogged(reported: _Reported, since: float, where: str) -> Job:
    """A job that Snakemake calls failed although its log does not."""
    log = read_log(reported.log)
    when = "after its last line" if log and log.touched >= since else "before its first line"
    line = f"failed {when}: see {reported.other or where}"
    return Job(reported.rule, "", "", "failed", reported.log, JobLog("failed", since, line=line))

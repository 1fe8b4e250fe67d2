"""How far a run is, from its files alone: works on a login node, while jobs write, and without them.

A job's state is what its log says (:mod:`aidocell.joblines`) and whether its output is there. A
shard is finished when its store lies under the key of the plan that holds now. A job whose log has
neither an end nor a sign of life for some minutes is *silent*: it was killed, was preempted, or
vanished with its machine.
"""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aidocell.errors import AidocellError, InputError
from aidocell.files import read_json
from aidocell.joblines import JobLog, read_log

__all__ = ["EMBED", "SAMPLE_STAGES", "STATES", "Job", "Sample", "Status", "read_status"]

STATES = ("finished", "running", "failed", "silent", "waiting")
EMBED = "embed_shard"
_OUTPUTS = {
    "check": "audit.json",
    "qc": "qc.parquet",
    "align": "counts.zarr.zip",
    "plan": "shards.json",
    "gather": "embeddings.zarr.zip",
}
SAMPLE_STAGES = (*[stage for stage in _OUTPUTS if stage != "gather"], EMBED, "gather")
_STUDY_STAGES = {
    "model": "model.json",
    "admit": "admission.tsv",
    "annotate": "study/annotate/summary.json",
    "finetune": "study/finetune/classifier.json",
    "map": "study/map.parquet",
    "report": "report/report.html",
    "manifest": "manifest.tsv",
}
_TIMED_SHARDS = 20  # enough for a rate where no running job tells one yet


@dataclass(frozen=True)
class Job:
    """One job: a rule on the study, on a sample, or on the rows of a shard.

    Attributes
    ----------
    state
        One of :data:`STATES`.
    path
        Its log; also where it is not there yet.
    log
        What that says; None without one.
    cells
        Rows of a shard; 0 for other jobs.
    """

    rule: str
    sample: str
    rows: str
    state: str
    path: Path
    log: JobLog | None
    cells: int = 0

    @property
    def name(self) -> str:
        """For people to read."""
        return " ".join(filter(None, (self.rule, self.sample, self.rows)))

    @property
    def cells_done(self) -> int:
        """Cells embedded so far, of a shard."""
        if self.state == "finished":
            return self.cells
        told = self.log.cells if self.log and self.state == "running" else None
        return min(told or 0, self.cells)


@dataclass(frozen=True)
class Sample:
    """A sample: its jobs by stage, and those of its shards; `planned` is False before its plan."""

    name: str
    refused: bool
    planned: bool
    stages: Mapping[str, Job]
    shards: tuple[Job, ...]

    @property
    def jobs(self) -> list[Job]:
        return [*self.stages.values(), *self.shards]


@dataclass(frozen=True)
class Status:
    """A results folder as it was found.

    Attributes
    ----------
    silent_minutes
        After how long a job without a sign of life was called silent.
    study
        Jobs over the whole study that have left a log or an output, by stage.
    usual_rate
        Cells per second of finished shards, model loading included; None where none was timed.
    """

    folder: Path
    silent_minutes: float
    samples: tuple[Sample, ...]
    study: Mapping[str, Job]
    usual_rate: float | None

    @property
    def jobs(self) -> list[Job]:
        return [*(job for sample in self.samples for job in sample.jobs), *self.study.values()]

    @property
    def cells(self) -> int:
        """Cells of all plans."""
        return sum(shard.cells for shard in self._shards)

    @property
    def cells_done(self) -> int:
        return sum(shard.cells_done for shard in self._shards)

    @property
    def rate(self) -> float:
        """Cells per second now, over all running shards; 0 where nothing is embedded."""
        running = [shard for shard in self._shards if shard.state == "running"]
        told = [shard.log.rate for shard in running if shard.log and shard.log.rate]
        return sum(told) + (len(running) - len(told)) * (self.usual_rate or 0)

    @property
    def seconds_left(self) -> float | None:
        """Until all planned cells are embedded at the rate of now; None where there is no rate."""
        left = self.cells - self.cells_done
        return left / self.rate if self.rate else 0.0 if self.cells and not left else None

    @property
    def _shards(self) -> list[Job]:
        return [shard for sample in self.samples for shard in sample.shards]

    def counts(self) -> dict[str, Counter]:
        """How many jobs of each stage are in which state; samples that were refused wait for none."""
        stages: dict[str, Counter] = {stage: Counter() for stage in SAMPLE_STAGES}
        for sample in self.samples:
            for job in sample.jobs:
                if not (sample.refused and job.state == "waiting"):
                    stages[job.rule][job.state] += 1
        return stages


def read_status(folder: str | Path, *, silent_minutes: float = 5) -> Status:
    """Look at the results folder of a study.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = f"{folder} does not exist or is no folder"
        raise InputError("E_FILE_MISSING", what, fix="give the results folder of a study")
    oldest = time.time() - 60 * silent_minutes
    samples = tuple(
        _sample(folder, name, refused, oldest) for name, refused in _names(folder).items()
    )
    study = {
        stage: job
        for stage, output in _STUDY_STAGES.items()
        if (job := _job(folder, stage, folder / output, oldest)).state != "waiting"
    }
    return Status(folder, silent_minutes, samples, study, _usual_rate(folder, samples))


def _names(folder: Path) -> dict[str, bool]:
    """Samples in the order of the sheet, as far as files tell, and whether each was refused."""
    table = folder / "admission.tsv"
    checked = _listed(folder / "logs/check")
    try:
        with table.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        admitted = table.stat().st_mtime
    except (OSError, ValueError, csv.Error):
        rows, admitted = [], 0.0
    known = {row["sample"]: row.get("accepted") != "yes" for row in rows if row.get("sample")}
    if not known:
        return dict.fromkeys(sorted({*_listed(folder / "samples"), *_stems(checked)}), False)
    added = _stems({name: made for name, made in checked.items() if made > admitted})
    return {**known, **{name: False for name in added if name not in known}}


def _stems(logs: Mapping[str, float]) -> list[str]:
    return sorted(Path(name).stem for name in logs if name.endswith(".log"))


def _listed(folder: Path) -> dict[str, float]:
    """Names in a folder with their times of modification, hidden ones apart."""
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # deleted or renamed since it was listed
                if not entry.name.startswith("."):
                    found[entry.name] = entry.stat().st_mtime
    return found


def _sample(folder: Path, name: str, refused: bool, oldest: float) -> Sample:
    made = _listed(folder / "samples" / name)
    stages = {
        stage: _job(folder, stage, folder / "samples" / name / output, oldest, name)
        for stage, output in _OUTPUTS.items()
    }
    planned, shards = True, ()
    try:
        plan = read_json(folder / "samples" / name / "shards.json")
        shards = tuple(_shards(folder, name, str(plan["key"]), plan["shards"], oldest))
    except FileNotFoundError:
        planned = False
    except (AidocellError, KeyError, TypeError, ValueError) as error:
        planned = False
        stages["plan"] = _unreadable(stages["plan"], error)
    earlier = made.get("embeddings.zarr.zip", 0) < made.get("shards.json", 0)
    if earlier and stages["gather"].state == "finished":
        stages["gather"] = replace(stages["gather"], state="waiting")
    return Sample(name, refused, planned, stages, shards)


def _unreadable(plan: Job, error: Exception) -> Job:
    told = str(error) if isinstance(error, AidocellError) else f"the plan is no plan: {error!r}"
    log = JobLog("failed", time.time(), error="E_STORE_DAMAGED", line=told)
    return replace(plan, state="failed", log=log)


def _shards(
    folder: Path, sample: str, key: str, rows: list[list[int]], oldest: float
) -> Iterator[Job]:
    """The shards of a plan; only the logs of those that are not finished are read."""
    logs = folder / "logs" / EMBED / sample / key
    made = _listed(folder / "samples" / sample / "shards" / key)
    begun = _listed(logs)
    for start, stop in rows:
        name, cells = f"{start}-{stop}", stop - start
        path = logs / f"{name}.log"
        log = None
        state = "finished" if f"{name}.zarr.zip" in made else "waiting"
        if state == "waiting" and path.name in begun:
            log = read_log(path)
            state = _state(False, log, oldest)
        yield Job(EMBED, sample, name, state, path, log, cells)


def _job(folder: Path, rule: str, output: Path, oldest: float, sample: str = "") -> Job:
    path = folder / "logs" / rule / f"{sample}.log" if sample else folder / f"logs/{rule}.log"
    log = read_log(path)
    return Job(rule, sample, "", _state(output.exists(), log, oldest), path, log)


def _state(made: bool, log: JobLog | None, oldest: float) -> str:
    if log and log.state == "failed":
        return "failed"
    if log and log.state == "open":
        return "running" if log.touched > oldest else "silent"
    return "finished" if made else "waiting"  # an output that was deleted is made again


def _usual_rate(folder: Path, samples: tuple[Sample, ...]) -> float | None:
    """Cells per second of some finished shards, from Snakemake's benchmark files."""
    cells, seconds, timed = 0, 0.0, 0
    for shard in (s for sample in samples for s in sample.shards if s.state == "finished"):
        path = folder / "benchmarks" / shard.path.relative_to(folder / "logs").with_suffix(".tsv")
        with suppress(OSError, ValueError, KeyError, csv.Error), path.open(newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                seconds += float(row["s"])
                cells += shard.cells
                timed += 1
        if timed >= _TIMED_SHARDS:
            break
    return cells / seconds if seconds else None

"""What a run will take, and beside it what its finished part took."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aidocell.configured import read_configured
from aidocell.counts import open_counts
from aidocell.errors import InputError
from aidocell.files import folder_of
from aidocell.jobmemory import memory_of_jobs
from aidocell.model import ModelConfig
from aidocell.model.hub import cached_config, is_hub_id
from aidocell.planning import read_plan
from aidocell.records import read_record
from aidocell.report.jobs import Job, read_jobs
from aidocell.study import Sample
from aidocell.workload import Rate, embedding_bytes, rate_of, shard_size

__all__ = ["ASSUMPTIONS", "Forecast", "SampleForecast", "forecast"]

_GENES_PER_CELL = 2000  # with a count, where QC has not told yet
_BYTES_PER_COUNT = 2.5  # compressed; 1.8 in 2,700 blood cells
_FILES_PER_SAMPLE, _FILES_PER_SHARD = 25, 4
_RELEASED = {  # layers, hidden, intermediate
    "genbio-ai/AIDO.Cell-3M": (6, 128, 320),
    "genbio-ai/AIDO.Cell-10M": (8, 256, 640),
    "genbio-ai/AIDO.Cell-100M": (18, 640, 1664),
}

ASSUMPTIONS = (
    f"counts: {_BYTES_PER_COUNT} bytes for each gene with a count, {_GENES_PER_CELL:,} of them in a "
    "cell where QC has not told yet",
    "peak of the disk: all outputs, and twice the largest sample's counts and embeddings while they "
    "are written, one at a time",
    f"files: {_FILES_PER_SAMPLE} a sample and {_FILES_PER_SHARD} a shard, Snakemake's own records included",
    "cells that QC will leave out are counted where it has not run yet",
)


@dataclass(frozen=True)
class SampleForecast:
    """One sample of the sheet.

    Attributes
    ----------
    cells, known_from
        Cells to embed, and which step told; no cells where the sample has a `problem`.
    seconds
        Work of all its shards together.
    counts_bytes, embeddings_bytes
        Of the aligned counts, and of the gathered embeddings; its shards take as much again.
    timed_cells, timed_seconds
        Of the shards that are finished and were timed.
    """

    sample: str
    cells: int = 0
    known_from: str = ""
    shards: int = 0
    seconds: float = 0
    counts_bytes: int = 0
    embeddings_bytes: int = 0
    timed_shards: int = 0
    timed_cells: int = 0
    timed_seconds: float = 0
    problem: str = ""


@dataclass(frozen=True)
class Forecast:
    """All samples, and what they add up to.

    Attributes
    ----------
    device
        ``CPU`` or ``GPU``: what the hours are of.
    rate
        By which the shards that have no plan yet are reckoned.
    memory
        By rule: MiB needed, where it is known from, and MiB that the Slurm profile asks for.
    """

    device: str
    rate: Rate
    samples: tuple[SampleForecast, ...]
    free_bytes: int
    memory: dict[str, dict[str, Any]] = field(default_factory=dict)

    def total(self, what: str) -> Any:
        """The sum over the samples of one of their figures."""
        return sum(getattr(sample, what) for sample in self.samples)

    @property
    def disk_bytes(self) -> int:
        """Of all outputs, shards included."""
        return self.total("counts_bytes") + 2 * self.total("embeddings_bytes")

    @property
    def peak_bytes(self) -> int:
        """With what lies beside them while they are written."""
        largest = max(max(s.counts_bytes, s.embeddings_bytes) for s in self.samples)
        return self.disk_bytes + 2 * largest

    @property
    def files(self) -> int:
        """Inodes."""
        return _FILES_PER_SAMPLE * len(self.samples) + _FILES_PER_SHARD * self.total("shards")

    @property
    def actual(self) -> dict[str, float] | None:
        """Planned and actual time of the timed shards; None before there is one."""
        cells, seconds = self.total("timed_cells"), self.total("timed_seconds")
        if not seconds:
            return None
        planned = sum(s.timed_cells * s.seconds / s.cells for s in self.samples if s.timed_cells)
        return {
            "shards": self.total("timed_shards"),
            "planned_seconds": planned,
            "seconds": seconds,
            "ratio": seconds / planned,
            "cells_per_second": cells / seconds,
        }

    def plain(self) -> dict[str, Any]:
        """For a machine to read."""
        totals = ("cells", "shards", "seconds", "counts_bytes", "embeddings_bytes")
        return {
            "device": self.device,
            "rate": asdict(self.rate),
            "samples": [asdict(sample) for sample in self.samples],
            "total": {name: self.total(name) for name in totals},
            "disk_bytes": self.disk_bytes,
            "peak_bytes": self.peak_bytes,
            "free_bytes": self.free_bytes,
            "files": self.files,
            "memory": self.memory,
            "actual": self.actual,
            "assumed": list(ASSUMPTIONS),
        }


def forecast(results: str | Path, config_path: str | Path) -> Forecast:
    """Reckon what a run takes, from whatever is there: the files, their audits, QC, plans, times.

    Parameters
    ----------
    results
        The results folder; need not be there.
    config_path
        ``config.yaml``.

    Raises
    ------
    InputError
        ``E_CONFIG``, ``E_SHEET``, ``E_SAMPLE_NAME``; ``E_MODEL_MISSING``, ``E_MODEL_CONFIG``: the
        model's shape is not known.
    """
    config, samples = read_configured(config_path)
    results = Path(results)
    embed, shape = config["embed"], _shape(results, config)
    rate = rate_of(
        shape,
        device=embed["device"],
        precision=embed["precision"],
        cells_per_second=embed["cells_per_second"],
    )
    jobs = read_jobs(results / "benchmarks", samples) if results.is_dir() else ()
    return Forecast(
        device="CPU" if embed["device"] == "cpu" else "GPU",
        rate=rate,
        samples=tuple(
            _sample(sample, results, config, shape, rate, jobs) for sample in samples.values()
        ),
        free_bytes=shutil.disk_usage(folder_of(results)).free,
        memory=memory_of_jobs(jobs),
    )


def _shape(results: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The model's shape: of the run's record, the checkpoint's folder, the hub's cache or as released."""
    record = results / "model.json"
    if record.is_file() and (shape := read_record(record).get("config")):
        return shape
    name, folder = config["model"], Path(config["model"]).expanduser()
    path = folder / "config.json" if folder.is_dir() else None
    if path is None and is_hub_id(name):
        path = cached_config(name, config["model_revision"])
    if path is None and name in _RELEASED:
        names = ("num_hidden_layers", "hidden_size", "intermediate_size")
        sizes = dict(zip(names, _RELEASED[name], strict=True))
        return {**sizes, "max_position_embeddings": 19264}
    if path is None or not path.is_file():
        raise InputError(
            "E_MODEL_MISSING",
            f"the shape of {name} is not known here",
            fix="run `snakemake check_only`, which fetches it, or correct `model` in the config",
        )
    return asdict(ModelConfig.read(path))


def _sample(
    sample: Sample,
    results: Path,
    config: Mapping[str, Any],
    shape: Mapping[str, Any],
    rate: Rate,
    jobs: tuple[Job, ...],
) -> SampleForecast:
    folder, embed = results / "samples" / sample.name, config["embed"]
    plan = _plan(folder / "shards.json", embed)
    try:
        cells, known_from, stored = _cells(sample, folder, plan, config["subset"]["cells"])
    except InputError as error:
        return SampleForecast(sample.name, problem=str(error))
    planned = plan.get("planned", {}).get("seconds")
    size = shard_size(
        cells, rate, shard_cells=embed["shard_cells"], shard_minutes=embed["shard_minutes"]
    )
    counts = folder / "counts.zarr.zip"
    timed = [job for job in jobs if plan and job.sample == sample.name and job.key == plan["key"]]
    return SampleForecast(
        sample.name,
        cells=cells,
        known_from=known_from,
        shards=len(plan["shards"]) if plan else -(-cells // size),
        seconds=cells / rate.cells_per_second if planned is None else planned,
        counts_bytes=counts.stat().st_size if counts.is_file() else int(stored * _BYTES_PER_COUNT),
        embeddings_bytes=embedding_bytes(cells, shape["hidden_size"]),
        timed_shards=len(timed),
        timed_cells=sum(job.cells or 0 for job in timed),
        timed_seconds=sum(job.seconds for job in timed),
    )


def _plan(path: Path, embed: Mapping[str, Any]) -> dict:
    """The sample's plan; empty where there is none, or one for other options."""
    plan = read_plan(path) if path.is_file() else {}
    same = all(embed[name] == value for name, value in plan.get("options", {}).items())
    return plan if same else {}


def _cells(
    sample: Sample, folder: Path, plan: Mapping[str, Any], subset: int | None
) -> tuple[int, str, float]:
    """Cells to embed, which step told, and how many counts they have on genes."""
    if (folder / "qc.parquet").is_file():
        kept, stored = _kept(folder / "qc.parquet")
        known_from = "kept by QC"
    elif (folder / "audit.json").is_file():
        kept, stored = _accepted(read_record(folder / "audit.json")), None
        known_from = "accepted"
    elif plan:
        kept, stored, known_from = plan["cells"], None, "planned"
    else:
        with open_counts(sample.path, sample.options) as source:
            kept, stored, known_from = source.shape[0], None, "in the file"
    stored = kept * _GENES_PER_CELL if stored is None else stored
    cells = plan["cells"] if plan else min(kept, subset or kept)
    return cells, "planned" if plan else known_from, stored * cells / max(kept, 1)


def _kept(path: Path) -> tuple[int, float]:
    """Cells that QC kept, and their genes with a count, added up."""
    try:
        table = pq.read_table(path, columns=["kept", "n_genes_by_counts"])
    except (pa.ArrowException, OSError) as error:
        what = f"{path} is torn or changed"
        fix = "delete it and run the workflow again"
        raise InputError("E_STORE_DAMAGED", what, fix=fix) from error
    kept = table.filter(table["kept"])
    return kept.num_rows, float(pc.sum(kept["n_genes_by_counts"]).as_py() or 0)


def _accepted(audit: Mapping[str, Any]) -> int:
    if not audit["accepted"]:
        error = audit["error"]
        raise InputError(error["id"], error["what"], fix=error["fix"])
    return int(audit["cells"])

"""A small study made by the stages themselves, in one process, and what can be done to its files."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from small import ROOT, TINY, make_cells

from aidocell.config import check_config
from aidocell.counts import InputOptions
from aidocell.errors import InputError
from aidocell.manifest import MANIFEST, find_damage, maker_of, write_manifest
from aidocell.report import load_study, write_report
from aidocell.sharding import embed_shard
from aidocell.stages.admit import admit, admitted_samples
from aidocell.stages.align import align_sample
from aidocell.stages.annotate import annotate_study
from aidocell.stages.check import check_sample
from aidocell.stages.gather import gather_sample
from aidocell.stages.map import map_study
from aidocell.stages.model import describe_model
from aidocell.stages.plan import plan_sample
from aidocell.stages.qc import qc_sample
from aidocell.stages.shards import shard_paths
from aidocell.tasks.classifier_folder import load_classifier

SAMPLES = ("a", "b")
_SHEET = [{"sample": name} for name in SAMPLES]
_WHOLE = {"cells": None, "balance": None, "seed": 0}


class SmallStudy:
    """Inputs, settings and results of two samples of 30 cells in a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        inputs: Path | None = None,
        seed: int = 1,
        pooling: str = "mean",
        min_genes: int = 5,
    ) -> None:
        self.results, self.inputs, self.seed = folder / "results", inputs or folder, seed
        methods = ["logistic", "genes-logistic", "majority"]
        self.config = check_config(
            {
                "samples": "samples.tsv",
                "model": str(TINY),
                "qc": {"min_genes": min_genes},
                "embed": {"shard_cells": 20, "pooling": pooling},
                "annotate": {"label": "cell_type", "folds": 3, "methods": methods},
            },
            ROOT / "workflow/schemas/config.schema.json",
        )

    def paths(self, name: str) -> list[Path]:
        """A file of every sample."""
        return [self.results / "samples" / sample / name for sample in SAMPLES]

    def make(self) -> SmallStudy:
        """Run every stage, as the workflow does."""
        self.results.mkdir(parents=True)
        for place, name in enumerate(SAMPLES):
            if not self._input(name).exists():
                make_cells(30, seed=self.seed + place).write_h5ad(self._input(name))
        describe_model(str(TINY), self.results / "model.json", revision=None, accept_license=False)
        for name in SAMPLES:
            self.check(name)
        self.admit(self.results / "admission.tsv")
        for name in SAMPLES:
            self._embed(name)
        self.map(self.results / "study/map.parquet")
        self.annotate(self.results / "study/annotate")
        self.report(self.results / "report")
        self.list_outputs()
        self.embedded = self.report_of_embeddings()
        self.classifier = load_classifier(self.results / "study/annotate/classifier").content
        return self

    def _input(self, name: str) -> Path:
        return self.inputs / f"{name}.h5ad"

    def check(self, name: str) -> None:
        output = self.results / "samples" / name / "audit.json"
        source = str(self._input(name))
        check_sample(source, InputOptions(), output, model=str(TINY), min_share=0.5, sample=name)

    def admit(self, output: Path) -> None:
        audits = dict(zip(SAMPLES, self.paths("audit.json"), strict=True))
        admit(audits, output, on_bad_sample="stop")

    def qc(self, name: str, output: Path) -> None:
        home = self.results / "samples" / name
        qc_sample(
            str(self._input(name)),
            InputOptions(),
            output,
            audit=home / "audit.json",
            thresholds=self.config["qc"],
            model=str(TINY),
            sample=name,
        )

    def align(self, name: str, output: Path) -> None:
        home = self.results / "samples" / name
        align_sample(
            str(self._input(name)),
            InputOptions(),
            output,
            audit=home / "audit.json",
            qc_table=home / "qc.parquet",
            model=str(TINY),
            min_share=0.5,
            subset=_WHOLE,
            metadata=None,
            columns={"batch": name},
            sample=name,
            thresholds=self.config["qc"],
        )

    def plan(self, name: str) -> None:
        home = self.results / "samples" / name
        record = self.results / "model.json"
        embed = self.config["embed"]
        aligned = self._aligned(name)
        plan = home / "shards.json"
        plan_sample(home / "counts.zarr.zip", record, plan, embed=embed, aligned=aligned)

    def embed(self, name: str, shard: Path, output: Path) -> None:
        home = self.results / "samples" / name
        rows = shard.name.removesuffix(".zarr.zip")
        plan = home / "shards.json"
        embed_shard(home / "counts.zarr.zip", plan, rows, output, model=str(TINY))

    def gather(self, name: str, output: Path) -> None:
        home = self.results / "samples" / name
        options = ("pooling", "precision", "attention")
        gather_sample(
            home / "counts.zarr.zip",
            home / "shards.json",
            shard_paths(home / "shards.json"),
            output,
            model_record=self.results / "model.json",
            options={option: self.config["embed"][option] for option in options},
            aligned=self._aligned(name),
        )

    def _aligned(self, name: str) -> dict:
        table = self.results / "samples" / name / "qc.parquet"
        asked = {"subset": _WHOLE, "metadata": None, "columns": {"batch": name}}
        return {"sample": name, "qc_table": table, **asked}

    def map(self, output: Path) -> None:
        stores, plans = self.paths("embeddings.zarr.zip"), self.paths("shards.json")
        map_study(SAMPLES, stores, plans, output, max_cells=10)  # too few for UMAP: quick

    def annotate(self, output: Path) -> None:
        annotate_study(
            output,
            samples=SAMPLES,
            embeddings=self.paths("embeddings.zarr.zip"),
            counts=self.paths("counts.zarr.zip"),
            plans=self.paths("shards.json"),
            options=self.config["annotate"],
        )

    def report(self, output: Path) -> None:
        write_report(self.results, _SHEET, output, config=self.config)

    def report_of_embeddings(self) -> list[tuple]:
        """What the report takes from the stores of embeddings, and these are not read whole for it."""
        samples = load_study(self.results, _SHEET, config=self.config).samples
        return [(sample.name, sample.embedded, sample.provenance) for sample in samples]

    def list_outputs(self) -> None:
        files = sorted(path for path in self.results.rglob("*") if path.is_file())
        outputs: dict[str, list[str]] = {}
        for file in files:
            if maker := maker_of(file.relative_to(self.results).as_posix()):
                outputs.setdefault(maker, []).append(str(file))
        write_manifest(outputs, self.results / MANIFEST)

    def _embed(self, name: str) -> None:
        home = self.results / "samples" / name
        self.qc(name, home / "qc.parquet")
        self.align(name, home / "counts.zarr.zip")
        self.plan(name)
        for shard in map(Path, shard_paths(home / "shards.json")):
            self.embed(name, shard, shard)
        self.gather(name, home / "embeddings.zarr.zip")


# ---------------------------------------------------------------- who reads what


def readers(study: SmallStudy, path: str, scratch: Path) -> list[Callable[[], object]]:
    """The stages that read an output, each writing to `scratch` where it writes; none for the last.

    One that writes nothing says whether its answer is what it was before.
    """
    results, name = study.results, path.split("/")[1] if path.startswith("samples/") else ""
    audits = dict(zip(SAMPLES, study.paths("audit.json"), strict=True))
    store = scratch / "out.zarr.zip"

    def report() -> None:
        load_study(results, _SHEET, config=study.config)

    by_end = {
        "model.json": [lambda: study.gather("a", store), report],
        "admission.tsv": [
            lambda: admitted_samples(results / "admission.tsv", audits) == list(SAMPLES)
        ],
        "audit.json": [
            lambda: study.admit(scratch / "t.tsv"),
            lambda: study.qc(name, scratch / "t"),
            report,
        ],
        "qc.parquet": [lambda: study.align(name, store), report],
        "counts.zarr.zip": [
            lambda: study.gather(name, store),
            lambda: study.annotate(scratch / "t"),
        ],
        "shards.json": [
            lambda: study.gather(name, store),
            lambda: study.map(scratch / "t"),
            report,
        ],
        "embeddings.zarr.zip": [
            lambda: study.map(scratch / "t"),
            lambda: study.report_of_embeddings() == study.embedded,
        ],
        "map.parquet": [report],
    }
    if "/shards/" in path:
        return [lambda: study.gather(name, store)]
    if path.startswith("study/annotate/classifier/"):
        folder = results / "study/annotate/classifier"
        whole = study.classifier
        same = [lambda: load_classifier(folder).content == whole]
        return [] if path.endswith("README.md") else same
    if path.startswith("study/annotate/"):
        return [report]
    return by_end.get(Path(path).name, [])


# ---------------------------------------------------------------- what can happen to a file


@dataclass(frozen=True)
class Damage:
    """One change of one file of a study; `content` is what its bytes become."""

    path: str
    kind: str
    content: bytes

    def __str__(self) -> str:
        return f"{self.kind} of {self.path}"


def damages(
    study: SmallStudy, others: dict[str, SmallStudy], *, flips: int, cuts: int, seed: int = 0
) -> Iterator[Damage]:
    """For every output and shard: bits flipped, ends cut off, and other files put in its place.

    Parameters
    ----------
    others
        Studies whose files of the same name are put there, by the name of that kind of swap.
    flips, cuts
        How many of each in every file; a cut to nothing and one by a byte come on top.
    """
    chance = random.Random(seed)
    for file in outputs(study):
        path, whole = file.relative_to(study.results).as_posix(), file.read_bytes()
        for bit in chance.sample(range(8 * len(whole)), flips):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            yield Damage(path, "bit flip", bytes(flipped))
        for end in (0, len(whole) - 1, *chance.sample(range(1, len(whole) - 1), cuts)):
            yield Damage(path, "truncation", whole[:end])
        for kind, other in _swaps(study, others, path).items():
            if other != whole:
                yield Damage(path, kind, other)


def outputs(study: SmallStudy) -> list[Path]:
    """All files of the results, the manifest among them."""
    return sorted(path for path in study.results.rglob("*") if path.is_file())


def _swaps(study: SmallStudy, others: dict[str, SmallStudy], path: str) -> dict[str, bytes]:
    found = {kind: _same_place(other, path) for kind, other in others.items()}
    neighbour = path.replace("samples/a/", "samples/b/")
    if neighbour != path:
        found["another sample's"] = _same_place(study, neighbour)
    return {kind: file.read_bytes() for kind, file in found.items() if file is not None}


def _same_place(study: SmallStudy, path: str) -> Path | None:
    """The file of that name in another study or sample; the keys of shards differ."""
    parts = Path(path).parts
    if "shards" in parts:
        parts = (*parts[:3], "*", parts[-1])
    return next(study.results.glob("/".join(parts)), None)


# ---------------------------------------------------------------- what comes of it


def inflict(study: SmallStudy, damage: Damage) -> Callable[[], None]:
    """Damage a file; what is returned mends it."""
    file = study.results / damage.path
    whole = file.read_bytes()
    file.write_bytes(damage.content)

    def mend() -> None:
        file.write_bytes(whole)

    return mend


def three_studies(folder: Path) -> tuple[SmallStudy, dict[str, SmallStudy]]:
    """A study, and two whose files can be put in the place of its own."""
    study = SmallStudy(folder / "now").make()
    older = SmallStudy(folder / "older", inputs=study.inputs, pooling="max", min_genes=6)
    others = {
        "an older version's": older.make(),
        "another run's": SmallStudy(folder / "other", seed=7).make(),
    }
    return study, others


def noticed_by_verify(study: SmallStudy) -> bool:
    """Whether ``aidocell verify`` of the results folder finds anything."""
    return bool(find_damage(study.results))


def used_by(study: SmallStudy, damage: Damage, scratch: Path) -> list[str]:
    """Stages that went on with the damaged file; an error that is none of ours is raised.

    A stage that reads other bytes of the file than the changed ones may go on: what it writes is
    the same to the last bit.
    """
    used = []
    for number, read in enumerate(readers(study, damage.path, scratch)):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            unaffected = read() is True
        except InputError:
            continue
        if not unaffected and not _same_as_ever(study, damage, scratch):
            used.append(f"reader {number} of {damage.path}")
    return used


def _same_as_ever(study: SmallStudy, damage: Damage, scratch: Path) -> bool:
    """Whether what was written is what stands in the results."""
    store, annotated = scratch / "out.zarr.zip", scratch / "t/summary.json"
    if (admission := scratch / "t.tsv").exists():
        return admission.read_bytes() == (study.results / "admission.tsv").read_bytes()
    if annotated.exists():
        tables = study.results / "study/annotate"
        return annotated.read_bytes() == (tables / "summary.json").read_bytes()
    if not store.exists():
        return False
    name = damage.path.split("/")[1] if damage.path.startswith("samples/") else "a"
    original = "counts" if damage.path.endswith("qc.parquet") else "embeddings"
    expected = study.results / "samples" / name / f"{original}.zarr.zip"
    return store.read_bytes() == expected.read_bytes()

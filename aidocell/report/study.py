"""A results folder as plain data: everything that the report says is in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from aidocell.files import read_json
from aidocell.records import read_record
from aidocell.report.annotation import Annotation, read_annotation
from aidocell.report.cellmap import (
    PREDICTED,
    PROBABILITY,
    TRUE,
    CellMap,
    extra_columns,
    read_map,
)
from aidocell.report.classifier import read_classifier
from aidocell.report.columns import Columns
from aidocell.report.finetuning import Tuning, read_tuning
from aidocell.report.jobs import Job, read_jobs
from aidocell.report.origin import require_one_sample, require_one_study
from aidocell.report.qcsummary import METRICS, QcSummary, summarise
from aidocell.report.settings import ReportSettings
from aidocell.report.verdicts import Figures, Verdict, judge
from aidocell.rows import RANGE
from aidocell.store import StoreReader

__all__ = ["Sample", "Study", "load_study"]

_TAKEN = {*METRICS, "sample"}  # what the map can be coloured by without the cells' own columns


@dataclass(frozen=True)
class Sample:
    """One line of the sheet and what became of it; parts that were not made are None or empty.

    Attributes
    ----------
    audit
        ``audit.json``: what was found, accepted, mapped and dropped.
    qc
        Summary of ``qc.parquet``.
    embedded
        Cells with an embedding.
    provenance
        Of ``embeddings.zarr.zip``.
    plan
        ``shards.json``.
    """

    name: str
    audit: Mapping[str, object] = field(default_factory=dict)
    qc: QcSummary | None = None
    embedded: int | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    plan: Mapping[str, object] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    verdict: Verdict = field(default_factory=lambda: Verdict("pass"))

    @property
    def refused(self) -> bool:
        """Whether the input was not admitted."""
        return self.audit.get("accepted") is False


@dataclass(frozen=True)
class Study:
    """All samples and what was computed over them.

    Attributes
    ----------
    model, classifier
        ``model.json`` (empty where nobody asked yet) and ``classifier.json`` (None without one).
    alone
        Whether this is the page of one sample, out of a study of several.
    """

    settings: ReportSettings
    config: Mapping[str, object]
    samples: tuple[Sample, ...]
    annotation: Annotation | None = None
    tuning: Tuning | None = None
    classifier: Mapping[str, object] | None = None
    cells: CellMap | None = None
    jobs: tuple[Job, ...] = ()
    model: Mapping[str, object] = field(default_factory=dict)
    command: str = "snakemake"
    alone: bool = False

    @property
    def admitted(self) -> tuple[Sample, ...]:
        """Samples that were not refused."""
        return tuple(s for s in self.samples if not s.refused)

    @property
    def qc(self) -> dict[str, QcSummary]:
        """QC summaries by sample."""
        return {s.name: s.qc for s in self.samples if s.qc}

    def only(self, name: str) -> Study:
        """The study as the owner of one sample sees it: no other sample's name or cell."""
        mine = tuple(s for s in self.samples if s.name == name)
        judged = None if any(s.refused for s in mine) else self.annotation
        return replace(
            self,
            samples=mine,
            annotation=judged and judged.only(name),
            cells=self.cells and self.cells.only(name),
            jobs=tuple(job for job in self.jobs if job.sample == name),
            alone=len(self.samples) > 1,
        )


def load_study(
    results: str | Path,
    samples: Sequence[Mapping[str, object]],
    *,
    config: Mapping[str, object],
    checkpoint: str | Path | None = None,
    command: str = "snakemake",
) -> Study:
    """Read what the report needs; a file that is not there leaves its part empty.

    Parameters
    ----------
    results
        The results folder.
    samples
        Rows of the sample sheet; only ``sample`` is used.
    config
        The whole config; its ``report`` section holds title and limits.
    checkpoint
        Folder of the checkpoint, whose card is shown where the results have no ``model.json``.
    command
        The command that made the results, for the provenance.
    """
    results = Path(results)
    settings = ReportSettings.from_config(config.get("report"))
    names = [str(row["sample"]) for row in samples]
    annotation = read_annotation(results / "study" / "annotate")
    cells = read_map(results / "study" / "map.parquet")
    model = _record(results / "model.json")
    loaded, extras = [], []
    for name in names:
        sample, columns = _read_sample(results / "samples" / name, name, settings, cells, model)
        loaded.append(sample)
        extras.append(columns)
    admitted = [sample.name for sample in loaded if not sample.refused]
    require_one_study(results, admitted, cells, annotation)
    jobs = read_jobs(results / "benchmarks", names)
    return Study(
        settings=settings,
        config=config,
        samples=tuple(loaded),
        annotation=annotation,
        tuning=read_tuning(results / "study" / "finetune", model) if _is_tuned(config) else None,
        classifier=annotation and read_classifier(results / "study/annotate/classifier", model),
        cells=cells and _coloured(cells, extras, annotation, config),
        jobs=_of_this_run(jobs, loaded),
        model=model or _from_card(checkpoint),
        command=command,
    )


def _is_tuned(config: Mapping[str, object]) -> bool:
    """Whether a fine-tuning is part of the study; one of an earlier configuration is not."""
    options = (config.get("annotate") or {}).get("finetune") or {}
    return options.get("mode") is not None


def _read_sample(
    folder: Path,
    name: str,
    settings: ReportSettings,
    cells: CellMap | None,
    model: Mapping[str, object],
) -> tuple[Sample, pd.DataFrame]:
    """The sample, and for its cells on the map the columns that they can be coloured by."""
    audit = _record(folder / "audit.json")
    if audit.get("accepted") is False:  # what else is in its folder is of an earlier run
        require_one_sample(folder, name, audit=audit)
        verdict = judge(Figures(), settings.verdict, refused=_refusal(audit))
        return Sample(name=name, audit=audit, verdict=verdict), pd.DataFrame()
    qc_path = folder / "qc.parquet"
    qc_table = Columns(qc_path) if qc_path.is_file() else None
    qc = None if qc_table is None else summarise(qc_table)
    on_map = _barcodes(cells, name)
    embedded, provenance, own = _embeddings(folder / "embeddings.zarr.zip", on_map)
    plan = _record(folder / "shards.json")
    require_one_sample(
        folder,
        name,
        model=model,
        audit=audit,
        qc={} if qc_table is None else qc_table.attrs,
        plan=plan,
        embeddings=provenance,
    )
    figures = _figures(audit, qc)
    sample = Sample(
        name=name,
        audit=audit,
        qc=qc,
        embedded=embedded,
        provenance=provenance,
        plan=plan,
        figures=figures,
        verdict=judge(figures, settings.verdict, refused=""),
    )
    measured = pd.DataFrame(index=on_map) if qc is None else qc_table.of(on_map, [*qc.histograms])
    columns = pd.concat([measured, own], axis=1)
    return sample, columns.set_axis(name + ":" + columns.index.astype(str))


def _barcodes(cells: CellMap | None, sample: str) -> pd.Index:
    """The cells of a sample that are on the map, as the sample itself calls them."""
    if cells is None:
        return pd.Index([], dtype=object)
    names = cells.table.index[cells.table["sample"] == sample]
    return names.str.removeprefix(f"{sample}:")


def _figures(audit: Mapping[str, object], qc: QcSummary | None) -> Figures:
    resolved = audit.get("share_resolved")
    if qc is None:
        return Figures(share_resolved=resolved)
    return Figures(
        cells=qc.kept,
        median_genes=qc.medians.get("n_genes_by_counts"),
        share_resolved=resolved,
        median_mito=qc.medians.get("pct_counts_mt"),
        share_kept=qc.kept / qc.cells if qc.cells else None,
    )


def _refusal(audit: Mapping[str, object]) -> str:
    error = audit["error"]
    return f"{error['what']} ({error['id']}); {error['fix']}"


def _embeddings(path: Path, on_map: pd.Index) -> tuple[int | None, dict, pd.DataFrame]:
    """Number of cells, provenance, and the text columns of the cells on the map."""
    if not path.is_file():
        return None, {}, pd.DataFrame(index=on_map)
    with StoreReader(path) as store:
        obs = store.table(_marked(store, on_map), [c for c in store.columns if c not in _TAKEN])
        texts = [c for c in obs if not pd.api.types.is_numeric_dtype(obs[c])]
        return store.shape[0], store.provenance, obs[texts].reindex(on_map)


def _marked(store: StoreReader, cells: pd.Index) -> np.ndarray:
    """Which cells of the store are among `cells`; boolean."""
    starts = range(0, store.shape[0], RANGE)
    parts = [store.cells(start, start + RANGE).isin(cells) for start in starts]
    return np.concatenate([np.zeros(0, bool), *parts])


def _coloured(
    cells: CellMap,
    extras: Sequence[pd.DataFrame],
    annotation: Annotation | None,
    config: Mapping[str, object],
) -> CellMap:
    columns = pd.concat(extras)
    own = [c for c in columns if c not in METRICS]
    dropped = set(own) - set(extra_columns({c: columns[c] for c in own}))
    cells = cells.with_columns(columns.drop(columns=list(dropped)))
    if annotation is None or annotation.predictions.empty:
        return cells
    label = str((config.get("annotate") or {}).get("label"))
    cells = cells.without(label)  # the same as the given type
    renamed = {"predicted": PREDICTED, "true": TRUE, "probability": PROBABILITY}
    return cells.with_columns(annotation.predictions.rename(columns=renamed))


def _of_this_run(jobs: Sequence[Job], samples: Sequence[Sample]) -> tuple[Job, ...]:
    """Without the shards of earlier plans, whose times are still on disk."""
    keys = {s.name: str(s.plan.get("run_key", ""))[:12] for s in samples}
    return tuple(job for job in jobs if not job.key or job.key == keys.get(job.sample))


def _from_card(checkpoint: str | Path | None) -> dict:
    """What a checkpoint folder says of itself, in the form of ``model.json``."""
    path = Path(checkpoint or "") / "card.json"
    if not checkpoint or not path.is_file():
        return {}
    card = read_json(path)
    known = {"source": "folder", "demonstration": bool(card.get("demonstration")), "card": card}
    return {"id": card.get("name"), **known}


def _record(path: Path) -> dict:
    return read_record(path) if path.is_file() else {}

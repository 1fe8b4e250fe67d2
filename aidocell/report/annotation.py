"""The cell-type figures of ``study/annotate``, as the report needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.evaluate.tables import tsv_text
from aidocell.files import sha256_file
from aidocell.records import read_record
from aidocell.tables import read_table

__all__ = [
    "Annotation",
    "Bin",
    "ClassFigures",
    "Comparison",
    "Estimate",
    "MethodFigures",
    "Missing",
    "read_annotation",
]

_CLASS_FIGURES = ("precision", "recall", "f1")
_LABELS = ("label", "true", "predicted")
_TEXTS = (*_LABELS, "method", "reference", "metric", "fold", "note")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; any part may be None or NaN."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def negated(self) -> Estimate:
        """The same difference seen from the other side; all three must be there."""
        return Estimate(-self.value, -self.high, -self.low)


@dataclass(frozen=True)
class ClassFigures:
    """What one method reaches on one cell type."""

    label: str
    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Bin:
    """Predictions of about one probability: how many, their mean, and the share called right."""

    cells: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class MethodFigures:
    """One method that ran.

    Attributes
    ----------
    embedding, model
        Whether it works on the embeddings, or is the checkpoint itself, fine-tuned.
    metrics, mean
        Pooled figures; macro-F1 over folds with its t interval, None of one fold.
    curve
        The calibration curve; bins without cells are not there.
    """

    name: str
    title: str
    embedding: bool
    metrics: dict[str, Estimate]
    classes: tuple[ClassFigures, ...]
    confusion: dict[tuple[str, str], int] = field(repr=False)
    mean: Estimate | None = None
    curve: tuple[Bin, ...] = ()
    note: str = ""
    model: bool = False


@dataclass(frozen=True)
class Missing:
    """A method that could not run, and why."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Difference of `metric`, method minus reference, paired over the same cells."""

    method: str
    reference: str
    metric: str
    difference: Estimate


@dataclass(frozen=True)
class Annotation:
    """Everything that ``study/annotate`` says.

    Attributes
    ----------
    methods
        Those that ran, the highest macro-F1 first.
    labels
        All true labels, the most frequent first: the order of colours, rows and columns.
    predictions
        Out-of-fold predictions, indexed by cell, with the columns ``true`` (may be missing),
        ``predicted`` and ``probability``.
    summary
        ``summary.json``.
    missing
        Methods that could not run.
    """

    methods: tuple[MethodFigures, ...]
    comparisons: tuple[Comparison, ...]
    labels: tuple[str, ...]
    predictions: pd.DataFrame = field(repr=False)
    summary: Mapping[str, object]
    missing: tuple[Missing, ...] = ()

    @property
    def repeats(self) -> int:
        """How often each cell was predicted."""
        return int(self.summary.get("repeats") or 1)

    @property
    def best(self) -> MethodFigures | None:
        """The method on the embedding with the highest macro-F1."""
        return next((m for m in self.methods if m.embedding), None)

    @property
    def simple(self) -> tuple[MethodFigures, ...]:
        """Methods without the model, the best first; without the majority class."""
        return tuple(
            m for m in self.methods if not (m.embedding or m.model or m.name == "majority")
        )

    @property
    def cells(self) -> int:
        """Labelled cells that the figures rest on."""
        return sum(c.support for c in self.methods[0].classes) if self.methods else 0

    def comparison(self, reference: str) -> Estimate | None:
        """Macro-F1 of the best method on the embedding minus that of `reference`."""
        wanted = (self.best.name if self.best else "", reference)
        for c in (c for c in self.comparisons if c.metric == "macro_f1"):
            if (c.method, c.reference) == wanted:
                return c.difference
            if (c.reference, c.method) == wanted:
                return c.difference.negated
        return None

    def only(self, sample: str) -> Annotation:
        """The same figures with the predictions of one sample's cells."""
        mine = self.predictions.index.str.startswith(f"{sample}:")
        return replace(self, predictions=self.predictions[mine])


def read_annotation(folder: Path) -> Annotation | None:
    """Read ``study/annotate``; None where it was not made."""
    if not (folder / "summary.json").is_file():
        return None
    summary = read_record(folder / "summary.json")
    _require_tables(folder, summary["tables"])
    as_given = {tsv_text(label): label for label in summary.get("labels", {})}
    tables = {
        name: _table(folder / f"{name}.tsv", as_given)
        for name in ("metrics", "per_class", "confusion", "calibration")
        if (folder / f"{name}.tsv").is_file()
    }
    lacking = summary.get("unavailable") or {}
    names = dict.fromkeys(tables["metrics"]["method"])
    methods = [_method(name, tables) for name in names if name not in lacking]
    methods.sort(key=lambda m: -_or_zero(m.metrics.get("macro_f1")))
    best = next((m for m in methods if m.embedding), methods[0] if methods else None)
    return Annotation(
        methods=tuple(methods),
        comparisons=_comparisons(folder / "comparisons.tsv"),
        labels=tuple(c.label for c in best.classes) if best else (),
        predictions=_predictions(folder / "predictions.parquet", best.name if best else ""),
        summary=summary,
        missing=tuple(Missing(name, _title(name), why) for name, why in lacking.items()),
    )


def _require_tables(folder: Path, expected: Mapping[str, str]) -> None:
    """Refuse tables that are not those of the summary."""
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != digest:
            what = f"{path} is not as it was written beside summary.json"
            fix = "delete it and run the study again"
            raise InputError("E_STORE_DAMAGED", what, fix=fix)


def _method(name: str, tables: Mapping[str, pd.DataFrame]) -> MethodFigures:
    mine = {what: table[table["method"] == name] for what, table in tables.items()}
    metrics = mine["metrics"]
    pooled, means = (metrics[metrics["fold"] == fold] for fold in ("all", "mean"))
    known = METHODS.get(name)
    classes = [_class(row) for row in mine["per_class"].to_dict("records")]
    return MethodFigures(
        name=name,
        title=_title(name),
        embedding=known is not None and known.needs == "embedding",
        metrics=_estimates(pooled),
        classes=tuple(sorted(classes, key=lambda c: (-c.support, c.label))),
        confusion={
            (row.true, row.predicted): int(row.cells)
            for row in mine["confusion"].itertuples()
            if row.cells
        },
        mean=_estimates(means).get("macro_f1"),
        curve=_curve(mine.get("calibration", pd.DataFrame())),
        note="; ".join(dict.fromkeys(filter(None, pooled.get("note", [])))),
        model=known is not None and "network" in known.takes,
    )


def _title(name: str) -> str:
    return METHODS[name].title if name in METHODS else name


def _estimates(rows: pd.DataFrame) -> dict[str, Estimate]:
    return {str(row.metric): Estimate(row.value, row.low, row.high) for row in rows.itertuples()}


def _curve(rows: pd.DataFrame) -> tuple[Bin, ...]:
    return tuple(
        Bin(int(row.cells), row.confidence, row.accuracy) for row in rows.itertuples() if row.cells
    )


def _class(row: Mapping[str, object]) -> ClassFigures:
    figures = {
        name: Estimate(row[name], row.get(f"{name}_low"), row.get(f"{name}_high"))
        for name in _CLASS_FIGURES
    }
    return ClassFigures(label=str(row["label"]), support=int(row["support"]), **figures)


def _comparisons(path: Path) -> tuple[Comparison, ...]:
    if not path.is_file():
        return ()
    return tuple(
        Comparison(
            row["method"],
            row["reference"],
            row["metric"],
            Estimate(row["difference"], row["low"], row["high"]),
        )
        for row in _table(path, {}).to_dict("records")
    )


def _predictions(path: Path, method: str) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({"predicted": [], "probability": []}, index=pd.Index([], dtype=str))
    table = read_table(path, filters=[("method", "==", method)])
    table = table.drop_duplicates("cell").reset_index(drop=True)  # of repeats the first
    probabilities = table.filter(regex="^p_").max(axis=1)  # the predicted class has the largest
    indexed = table.assign(probability=probabilities).set_index(table["cell"].astype(str))
    return indexed[["true", "predicted", "probability"]]


def _table(path: Path, as_given: Mapping[str, str]) -> pd.DataFrame:
    """Read a TSV; labels stay text (``NA`` is a type of that name) and lose their escapes."""
    table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False)
    numeric = {c: pd.to_numeric(table[c], errors="coerce") for c in table if c not in _TEXTS}
    labels = {c: table[c].map(lambda v: as_given.get(v, v)) for c in table if c in _LABELS}
    return table.assign(**numeric, **labels)


def _or_zero(estimate: Estimate | None) -> float:
    return estimate.value if estimate and estimate.value is not None else 0.0

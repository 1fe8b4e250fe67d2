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
    "ClassFigures",
    "Comparison",
    "Estimate",
    "MethodFigures",
    "read_annotation",
]

_CLASS_FIGURES = ("precision", "recall", "f1")
_LABELS = ("label", "true", "predicted")
_TEXTS = (*_LABELS, "method", "reference", "metric", "fold")


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
class MethodFigures:
    """One method: pooled figures by metric, figures by class, and its confusion matrix."""

    name: str
    title: str
    embedding: bool
    metrics: dict[str, Estimate]
    classes: tuple[ClassFigures, ...]
    confusion: dict[tuple[str, str], int] = field(repr=False)


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
        The highest macro-F1 first.
    labels
        All true labels, the most frequent first: the order of colours, rows and columns.
    predictions
        Out-of-fold predictions, indexed by cell, with the columns ``true`` (may be missing),
        ``predicted`` and ``probability``.
    summary
        ``summary.json``.
    """

    methods: tuple[MethodFigures, ...]
    comparisons: tuple[Comparison, ...]
    labels: tuple[str, ...]
    predictions: pd.DataFrame = field(repr=False)
    summary: Mapping[str, object]

    @property
    def best(self) -> MethodFigures | None:
        """The method on the embedding with the highest macro-F1."""
        return next((m for m in self.methods if m.embedding), None)

    @property
    def simple(self) -> tuple[MethodFigures, ...]:
        """Methods that do not use the embedding, the best first; without the majority class."""
        return tuple(m for m in self.methods if not m.embedding and m.name != "majority")

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
    metrics, per_class, confusion = (
        _table(folder / f"{name}.tsv", as_given) for name in ("metrics", "per_class", "confusion")
    )
    methods = [
        _method(name, metrics, per_class, confusion) for name in dict.fromkeys(metrics["method"])
    ]
    methods.sort(key=lambda m: -_or_zero(m.metrics.get("macro_f1")))
    best = next((m for m in methods if m.embedding), methods[0])
    return Annotation(
        methods=tuple(methods),
        comparisons=_comparisons(folder / "comparisons.tsv"),
        labels=tuple(c.label for c in best.classes),
        predictions=_predictions(folder / "predictions.parquet", best.name),
        summary=summary,
    )


def _require_tables(folder: Path, expected: Mapping[str, str]) -> None:
    """Refuse tables that are not those of the summary."""
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != digest:
            what = f"{path} is not as it was written beside summary.json"
            fix = "delete it and run the study again"
            raise InputError("E_STORE_DAMAGED", what, fix=fix)


def _method(
    name: str, metrics: pd.DataFrame, per_class: pd.DataFrame, confusion: pd.DataFrame
) -> MethodFigures:
    pooled = metrics[(metrics["method"] == name) & (metrics["fold"].astype(str) == "all")]
    mine = confusion[confusion["method"] == name]
    known = METHODS.get(name)
    classes = [_class(row) for row in per_class[per_class["method"] == name].to_dict("records")]
    return MethodFigures(
        name=name,
        title=known.title if known else name,
        embedding=known is not None and known.needs == "embedding",
        metrics={
            str(row.metric): Estimate(row.value, row.low, row.high) for row in pooled.itertuples()
        },
        classes=tuple(sorted(classes, key=lambda c: (-c.support, c.label))),
        confusion={
            (row.true, row.predicted): int(row.cells) for row in mine.itertuples() if row.cells
        },
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

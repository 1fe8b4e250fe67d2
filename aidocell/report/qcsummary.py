"""QC of a sample in a few hundred numbers, however many cells it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aidocell.report.columns import Columns
from aidocell.rows import RANGE

__all__ = ["GRID_EDGES", "METRICS", "Histogram", "Metric", "QcSummary", "summarise"]


@dataclass(frozen=True)
class Metric:
    """One column of ``qc.parquet``: its name in words, its axis and its bins."""

    title: str
    axis: str
    unit: str
    edges: np.ndarray = field(repr=False)
    logarithmic: bool = False


_LOG_EDGES = 10 ** (np.arange(0, 141) / 20)  # 1 to 10 million, twenty bins a decade
_PERCENT_EDGES = np.linspace(0, 100, 1001)  # figures join bins until they can be told apart
GRID_EDGES = 10 ** (np.arange(0, 113) / 16)  # 1 to 10 million

METRICS: dict[str, Metric] = {
    "n_genes_by_counts": Metric("Genes per cell", "genes with a count", "", _LOG_EDGES, True),
    "total_counts": Metric("Counts per cell", "counts", "", _LOG_EDGES, True),
    "pct_counts_mt": Metric("Mitochondrial share", "% of a cell's counts", " %", _PERCENT_EDGES),
    "pct_counts_ribo": Metric("Ribosomal share", "% of a cell's counts", " %", _PERCENT_EDGES),
    "pct_counts_hb": Metric("Haemoglobin share", "% of a cell's counts", " %", _PERCENT_EDGES),
    "pct_counts_in_top_20_genes": Metric(
        "Share of the 20 largest genes", "% of a cell's counts", " %", _PERCENT_EDGES
    ),
    "doublet_score": Metric("Doublet score", "score, 0 to 1", "", np.linspace(0, 1, 101)),
}


@dataclass(frozen=True)
class Histogram:
    """Cells per bin of a metric's edges, kept and left out; both of shape ``(n_bins,)``."""

    kept: np.ndarray
    left_out: np.ndarray

    def joined(self, width: int) -> Histogram:
        """Every `width` neighbouring bins as one."""
        starts = np.arange(0, len(self.kept), width)
        return Histogram(*(np.add.reduceat(part, starts) for part in (self.kept, self.left_out)))


@dataclass(frozen=True)
class QcSummary:
    """What the report draws of ``qc.parquet``.

    Attributes
    ----------
    cells, kept
        Cells seen, and cells that passed.
    reasons
        Cells left out by reason, the most frequent first; a cell with two reasons counts in both.
    medians
        Median over the kept cells, by metric.
    bounds
        Lowest and highest value allowed, by metric; None where there is no such bound.
    histograms
        By metric; metrics that were not computed are not there.
    grid_kept, grid_left_out
        Cells by counts (rows) and genes (columns), in bins of :data:`GRID_EDGES`.
    """

    cells: int
    kept: int
    reasons: dict[str, int]
    medians: dict[str, float]
    bounds: dict[str, tuple[float | None, float | None]]
    histograms: dict[str, Histogram]
    grid_kept: np.ndarray = field(repr=False)
    grid_left_out: np.ndarray = field(repr=False)


def summarise(table: pd.DataFrame | Columns) -> QcSummary:
    """Summarise a QC table, holding one or two of its columns at a time.

    Parameters
    ----------
    table
        One row a cell, with the columns of ``qc.parquet``; ``attrs["bounds"]`` holds the bounds
        that were applied, ``{metric: {"lower" or "upper": {"value", "source"}}}``.
    """
    kept = table["kept"].to_numpy(bool)
    measured = {m: _measured(table[m], kept, METRICS[m]) for m in METRICS if m in table}
    medians = {m: median for m, (median, _) in measured.items() if median is not None}
    return QcSummary(
        cells=len(table),
        kept=int(kept.sum()),
        reasons=_reasons(table["reason"][~kept]),
        medians=medians,
        bounds=_bounds(table.attrs.get("bounds", {})),
        histograms={m: histogram for m, (_, histogram) in measured.items() if m in medians},
        **_grids(table, kept),
    )


def _measured(
    column: pd.Series, kept: np.ndarray, metric: Metric
) -> tuple[float | None, Histogram | None]:
    """Median over the kept cells and histogram; None where no cell has a value."""
    if not column.notna().any():
        return None, None
    values = column.to_numpy(np.float64)
    histogram = _histogram(values, kept, metric)
    known = values[kept & ~np.isnan(values)]
    median = np.median(known, overwrite_input=True) if len(known) else np.nan
    return float(median), histogram


def _reasons(reasons: pd.Series) -> dict[str, int]:
    """Count each reason; as the same few texts recur, split the distinct ones only."""
    counts: Counter[str] = Counter()
    sizes = reasons.value_counts()
    for text, cells in sizes[sizes > 0].items():
        for reason in str(text).split("; "):
            counts[reason] += int(cells)
    return dict(counts.most_common())


def _bounds(bounds: Mapping[str, Mapping]) -> dict[str, tuple[float | None, float | None]]:
    return {
        metric: tuple(sides.get(side, {}).get("value") for side in ("lower", "upper"))
        for metric, sides in bounds.items()
        if metric in METRICS
    }


def _histogram(values: np.ndarray, kept: np.ndarray, metric: Metric) -> Histogram:
    both = np.zeros((2, len(metric.edges) - 1), np.int64)
    for start in range(0, len(values), RANGE):
        part, chosen = values[start : start + RANGE], kept[start : start + RANGE]
        clipped = np.clip(part, metric.edges[0], metric.edges[-1])
        known = np.isfinite(clipped)  # a cell without counts has no shares
        both[0] += np.histogram(clipped[known & chosen], metric.edges)[0]
        both[1] += np.histogram(clipped[known & ~chosen], metric.edges)[0]
    return Histogram(*both)


def _grids(table: pd.DataFrame | Columns, kept: np.ndarray) -> dict[str, np.ndarray]:
    counts, genes = (_bins(table[m]) for m in ("total_counts", "n_genes_by_counts"))
    grids = np.zeros((2, len(GRID_EDGES) - 1, len(GRID_EDGES) - 1), int)
    for start in range(0, len(kept), RANGE):
        part = slice(start, start + RANGE)
        np.add.at(grids, ((~kept[part]).astype(int), counts[part], genes[part]), 1)
    return {"grid_kept": grids[0], "grid_left_out": grids[1]}


def _bins(column: pd.Series) -> np.ndarray:
    """The bin of the grid that each value falls into, the last edge belonging to the last bin."""
    values, bins = column.to_numpy(), np.empty(len(column), np.uint8)
    for start in range(0, len(values), RANGE):
        part = np.clip(values[start : start + RANGE], GRID_EDGES[0], GRID_EDGES[-1])
        place = np.searchsorted(GRID_EDGES, part, side="right") - 1
        bins[start : start + RANGE] = np.minimum(place, len(GRID_EDGES) - 2)
    return bins

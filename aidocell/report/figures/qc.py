"""Figures of the QC: distributions, counts against genes, reasons for removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.colours import HATCH, KEPT
from aidocell.report.figures.svg import (
    Figure,
    Scale,
    canvas,
    group,
    line,
    rect,
    shortened,
    text,
    ticks,
)
from aidocell.report.qcsummary import GRID_EDGES, METRICS, Histogram, Metric, QcSummary

__all__ = ["counts_against_genes", "distribution", "removal_reasons"]

_WIDTH = 520
_CAPTIONS = {
    "n_genes_by_counts": "One hump well above the lower threshold is good. A second hump near it "
    "is mostly debris or empty droplets: raise min_genes.",
    "total_counts": "One hump is good. A long tail to the right may be doublets: look at their "
    "score, or set max_counts.",
    "pct_counts_mt": "Most cells well below the threshold is good. A broad shoulder means "
    "stressed or broken cells; some tissues (heart, liver) are naturally higher: set max_mito "
    "for this sample.",
    "pct_counts_ribo": "Differs between tissues; one hump is good, a second one asks for a look.",
    "pct_counts_hb": "Near zero is good outside of blood; a tail means red cells or their debris.",
    "pct_counts_in_top_20_genes": "Below about half is good; a tail to the right means cells "
    "with few genes beside the most abundant ones.",
    "doublet_score": "Most cells near zero is good; a second hump at the right is doublets.",
}


def distribution(name: str, samples: Mapping[str, QcSummary]) -> Figure:
    """Distribution of one metric: a row a sample, thresholds drawn in, kept against left out."""
    rows = {key: qc for key, qc in samples.items() if name in qc.histograms}
    fine = {key: qc.histograms[name] for key, qc in rows.items()}
    low, high = _range(METRICS[name], list(fine.values()), _bounds(name, rows))
    metric, histograms = _coarser(METRICS[name], fine, high - low)
    alone = len(rows) == 1
    height = 150 if alone else 60 if len(rows) <= 4 else 26
    x = Scale(low, high, 56 if alone else 120, _WIDTH - 14, metric.logarithmic)
    shared = len({qc.bounds.get(name) for qc in rows.values()}) == 1
    drawn: list[Markup] = []
    for place, (key, qc) in enumerate(rows.items()):
        top = 18 + place * height
        y = Scale(0, _largest(histograms[key]), top + height, top + (14 if alone else 5))
        drawn.append(_bars(histograms[key], metric, x, y, tips=alone))
        drawn += _thresholds(qc.bounds.get(name), x, top, top + height, labels=shared and not place)
        drawn += _y_axis(y, x.start) if alone else _row_frame(key, _row_tip(name, key, qc), x, y)
    bottom = 18 + height * len(rows)
    axis = _x_axis(x, bottom, metric.axis)
    body = canvas(_WIDTH, bottom + 40, _alt(name, rows), *drawn, *axis)
    cells = sum(qc.cells for qc in rows.values())
    return Figure(metric.title, body, numbers.plural(cells, "cell"), _CAPTIONS[name])


def _coarser(
    metric: Metric, histograms: Mapping[str, Histogram], span: float
) -> tuple[Metric, Mapping[str, Histogram]]:
    """Join bins of an even axis until at most sixty fall into `span`."""
    bin_width = metric.edges[1] - metric.edges[0]
    width = next(w for w in (1, 2, 5, 10, 20, 50) if span / (w * bin_width) <= 60 or w == 50)
    if metric.logarithmic or width == 1:
        return metric, histograms
    edges = metric.edges[::width]
    return replace(metric, edges=edges), {k: h.joined(width) for k, h in histograms.items()}


def _largest(histogram: Histogram) -> int:
    return max(int((histogram.kept + histogram.left_out).max()), 1)


def _row_frame(key: str, tip: str, x: Scale, y: Scale) -> list[Markup]:
    """Name and base line of a sample among others, and its figures for the pointer."""
    middle, height = (y.start + y.stop) / 2, y.start - y.stop
    return [
        text(112, middle + 4, shortened(key, 15), text_anchor="end", class_="name"),
        line(x.start, y.start, x.stop, y.start, class_="axis"),
        rect(0, y.stop, _WIDTH, height, fill="transparent", data_tip=tip),
    ]


def _bars(histogram: Histogram, metric: Metric, x: Scale, y: Scale, *, tips: bool) -> Markup:
    """Kept cells solid, left-out ones hatched on top of them."""
    parts = []
    for place in np.flatnonzero(histogram.kept + histogram.left_out):
        start, stop = x(metric.edges[place]), x(metric.edges[place + 1])
        kept, out = int(histogram.kept[place]), int(histogram.left_out[place])
        for base, cells, style in ((0, kept, KEPT), (kept, out, HATCH)):
            if cells:
                top = y(base + cells)
                parts.append(
                    rect(start, top, max(stop - start - 0.6, 0.8), y(base) - top, fill=style)
                )
        if tips:
            tip = f"{_bin(metric, int(place))}: {kept:,} kept, {out:,} left out"
            top = y.stop
            parts.append(
                rect(start, top, stop - start, y.start - top, fill="transparent", data_tip=tip)
            )
    return group(parts)


def _thresholds(
    bounds: tuple[float | None, float | None] | None,
    x: Scale,
    top: float,
    bottom: float,
    *,
    labels: bool,
) -> list[Markup]:
    parts = []
    for bound, sign in zip(bounds or (None, None), ("≥", "≤"), strict=True):
        if bound is None or not x.low <= bound <= x.high:
            continue
        place = x(bound)
        parts.append(line(place, top, place, bottom, class_="threshold"))
        if labels:
            anchor = "start" if sign == "≥" else "end"
            shift = 4 if sign == "≥" else -4
            label = f"{sign} {bound:,.4g}" if bound < 1000 else f"{sign} {bound:,.0f}"
            parts.append(text(place + shift, top - 4, label, text_anchor=anchor, class_="bound"))
    return parts


def _x_axis(x: Scale, y: float, label: str) -> list[Markup]:
    parts = [line(x.start, y, x.stop, y, class_="axis")]
    for value in ticks(x.low, x.high, logarithmic=x.logarithmic):
        parts.append(line(x(value), y, x(value), y + 4, class_="axis"))
        parts.append(text(x(value), y + 16, f"{value:,.6g}", text_anchor="middle"))
    parts.append(text((x.start + x.stop) / 2, y + 34, label, text_anchor="middle", class_="label"))
    return parts


def _y_axis(y: Scale, x: float) -> list[Markup]:
    parts = [text(2, y.stop - 12, "cells", class_="label")]
    for value in (v for v in ticks(y.low, y.high, most=4) if v == int(v)):
        parts.append(line(x - 4, y(value), x, y(value), class_="axis"))
        parts.append(text(x - 7, y(value) + 4, f"{value:,.0f}", text_anchor="end"))
    return parts


def _range(
    metric: Metric, histograms: Sequence[Histogram], bounds: Sequence[float]
) -> tuple[float, float]:
    """From the first to the last filled bin, with the thresholds in sight."""
    filled = np.flatnonzero(sum(h.kept + h.left_out for h in histograms))
    if not len(filled):
        return float(metric.edges[0]), float(metric.edges[-1])
    low, high = float(metric.edges[filled[0]]), float(metric.edges[filled[-1] + 1])
    near = [b for b in bounds if metric.edges[0] <= b <= metric.edges[-1] and b <= 3 * high]
    low = min([low, *[b * (0.9 if metric.logarithmic else 1) for b in near]])
    if metric.logarithmic:
        return max(low, 1), max([high, *[b * 1.1 for b in near]])
    return min(low, 0), max([high, *[b * 1.05 for b in near]])


def _bounds(name: str, samples: Mapping[str, QcSummary]) -> list[float]:
    pairs = [qc.bounds.get(name, (None, None)) for qc in samples.values()]
    return [bound for pair in pairs for bound in pair if bound is not None]


def _bin(metric: Metric, place: int) -> str:
    low, high = metric.edges[place], metric.edges[place + 1]
    if metric.logarithmic:
        low, high = np.ceil(low - 1e-9), max(np.ceil(high - 1e-9) - 1, np.ceil(low - 1e-9))
    return f"{low:,.6g} to {high:,.6g}{metric.unit}"


def _row_tip(name: str, key: str, qc: QcSummary) -> str:
    unit = METRICS[name].unit
    return (
        f"{key}: median {qc.medians[name]:,.4g}{unit} over {qc.kept:,} kept cells; "
        f"{qc.cells - qc.kept:,} left out"
    )


def _alt(name: str, rows: Mapping[str, QcSummary]) -> str:
    medians = [f"{key} {qc.medians[name]:,.4g}{METRICS[name].unit}" for key, qc in rows.items()]
    return (
        f"Histogram of {METRICS[name].title.lower()}. Medians of kept cells: {', '.join(medians)}."
    )


def counts_against_genes(samples: Mapping[str, QcSummary]) -> Figure:
    """Cells by counts and genes: darker where there are more, crossed where most were left out."""
    kept = sum(qc.grid_kept for qc in samples.values())
    out = sum(qc.grid_left_out for qc in samples.values())
    rows, columns = np.nonzero(kept + out)
    largest = int((kept + out).max(initial=1))
    x = Scale(*_span(rows), 60, _WIDTH - 14, logarithmic=True)
    y = Scale(*_span(columns), 226, 12, logarithmic=True)
    squares = [
        _square(int(i), int(j), int(kept[i, j]), int(out[i, j]), largest, x, y)
        for i, j in zip(rows, columns, strict=True)
    ]
    axis = [line(x.start, y.stop, x.start, y.start, class_="axis")]
    for value in ticks(y.low, y.high, most=5, logarithmic=True):
        axis.append(line(x.start - 4, y(value), x.start, y(value), class_="axis"))
        axis.append(text(x.start - 7, y(value) + 4, f"{value:,.6g}", text_anchor="end"))
    axis.append(
        text(12, 119, "genes", text_anchor="middle", class_="label", transform="rotate(-90 12 119)")
    )
    alt = "Cells by counts and genes; genes rise with counts along one band."
    body = canvas(_WIDTH, 268, alt, *squares, *axis, *_x_axis(x, 228, "counts per cell"))
    cells = sum(qc.cells for qc in samples.values())
    return Figure(
        "Counts against genes",
        body,
        numbers.plural(cells, "cell"),
        "One band from lower left to upper right is good. Cells far below it (many counts on few "
        "genes) are often dying cells or red cells. Darker squares hold more cells; hatched ones "
        "were mostly left out.",
    )


def _square(i: int, j: int, kept: int, out: int, largest: int, x: Scale, y: Scale) -> Markup:
    left, right = x(GRID_EDGES[i]), x(GRID_EDGES[i + 1])
    low, high = y(GRID_EDGES[j]), y(GRID_EDGES[j + 1])
    weight = 0.25 + 0.75 * np.log1p(kept + out) / np.log1p(largest)
    tip = (
        f"{GRID_EDGES[i]:,.3g} to {GRID_EDGES[i + 1]:,.3g} counts, {GRID_EDGES[j]:,.3g} to "
        f"{GRID_EDGES[j + 1]:,.3g} genes: {kept:,} kept, {out:,} left out"
    )
    return rect(
        left,
        high,
        right - left - 0.6,
        low - high - 0.6,
        fill=HATCH if out > kept else KEPT,
        fill_opacity=f"{weight:.2f}",
        data_tip=tip,
    )


def _span(bins: np.ndarray) -> tuple[float, float]:
    if not len(bins):
        return float(GRID_EDGES[0]), float(GRID_EDGES[-1])
    return float(GRID_EDGES[bins.min()]), float(GRID_EDGES[bins.max() + 1])


def removal_reasons(samples: Mapping[str, QcSummary]) -> Figure | None:
    """Cells left out by reason, as bars; None where every cell was kept."""
    totals: dict[str, int] = {}
    for qc in samples.values():
        for reason, cells in qc.reasons.items():
            totals[reason] = totals.get(reason, 0) + cells
    if not totals:
        return None
    seen = sum(qc.cells for qc in samples.values())
    out = seen - sum(qc.kept for qc in samples.values())
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    x = Scale(0, ordered[0][1], 250, _WIDTH - 110)
    parts = []
    for place, (reason, cells) in enumerate(ordered):
        top = 8 + place * 26
        tip = f"{reason}: {cells:,} of {seen:,} cells"
        label = f"{cells:,} ({numbers.share(cells / seen)})"
        parts += [
            text(242, top + 14, shortened(reason, 36), text_anchor="end", class_="name"),
            rect(250, top + 2, x(cells) - 250, 16, fill=HATCH, data_tip=tip),
            text(x(cells) + 6, top + 14, label),
        ]
    alt = "Cells left out by reason: " + ", ".join(f"{r}: {c:,}" for r, c in ordered)
    return Figure(
        "Why cells were left out",
        canvas(_WIDTH, 16 + 26 * len(ordered), alt, *parts),
        f"{numbers.plural(out, 'cell')} left out of {seen:,}",
        "A cell with several reasons counts in each. One reason that takes most of a sample asks "
        "whether its threshold fits that tissue; thresholds can be set for one sample in the sheet.",
    )

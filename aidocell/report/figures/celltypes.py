"""Figures of the cell types: methods side by side, confusion, composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.annotation import Annotation, Estimate, MethodFigures
from aidocell.report.colours import GREY, KEPT, Mark
from aidocell.report.figures.svg import (
    Figure,
    Scale,
    canvas,
    diamond,
    element,
    line,
    rect,
    shortened,
    text,
    ticks,
)

__all__ = ["composition", "confusion", "methods_plot"]

_WIDTH = 1040
_NUMBERS_UP_TO = 15


def methods_plot(annotation: Annotation, published: Mapping[str, float]) -> Figure:
    """All methods with their intervals, the best first; figures from elsewhere as open diamonds.

    Parameters
    ----------
    published
        Macro-F1 by a name in words, made elsewhere (a checkpoint's card): never in the same mark.
    """
    rows = [
        (m.name, m.title, m.metrics.get("macro_f1", Estimate(None)), m.embedding)
        for m in annotation.methods
    ]
    values = [e.value for _, _, e, _ in rows] + list(published.values())
    lows = [e.low for _, _, e, _ in rows if not numbers.is_missing(e.low)]
    low = max(
        0.0, min([*lows, *[v for v in values if not numbers.is_missing(v)]], default=0) - 0.03
    )
    x = Scale(low, 1.0, 430, _WIDTH - 190)
    bottom = 14 + 28 * (len(rows) + len(published))
    parts: list[Markup] = [
        line(x(v), 8, x(v), bottom, class_="grid") for v in ticks(low, 1, most=6)
    ]
    for place, (name, title, estimate, embedding) in enumerate(rows):
        parts += _method_row(24 + 28 * place, name, title, estimate, embedding, x)
    for place, (title, value) in enumerate(published.items(), start=len(rows)):
        parts += _published_row(24 + 28 * place, title, value, x)
    parts += [line(x.start, bottom, x.stop, bottom, class_="axis")]
    parts += [
        text(x(v), bottom + 17, f"{v:.3g}", text_anchor="middle") for v in ticks(low, 1, most=6)
    ]
    label = "macro-F1 (mean over cell types), line: 95 % interval"
    parts.append(
        text((x.start + x.stop) / 2, bottom + 36, label, text_anchor="middle", class_="label")
    )
    alt = "Macro-F1 of each method. " + "; ".join(
        f"{name} {numbers.interval(e.value, e.low, e.high)}" for name, _, e, _ in rows
    )
    return Figure(
        "How well each method finds the given cell types",
        canvas(_WIDTH, bottom + 44, alt, *parts),
        f"{numbers.plural(annotation.cells, 'labelled cell')}, every cell predicted by a model that did not see it",
        "Good: the embedding's line (disc) lies to the right of the simple methods' (squares). "
        "Where the lines overlap, neither is shown to be better. Where a simple method is ahead, "
        "use it, or a larger checkpoint.",
    )


def _method_row(
    y: float, name: str, title: str, estimate: Estimate, embedding: bool, x: Scale
) -> list[Markup]:
    parts = [
        text(0, y + 4, name, class_="strong" if embedding else None),
        text(112, y + 4, shortened(title, 50), class_="soft"),
        text(
            _WIDTH - 176, y + 4, numbers.interval(estimate.value, estimate.low, estimate.high, "")
        ),
    ]
    if numbers.is_missing(estimate.value):
        return parts
    tip = f"{name}: macro-F1 {numbers.interval(estimate.value, estimate.low, estimate.high)}"
    if not numbers.is_missing(estimate.low) and not numbers.is_missing(estimate.high):
        parts.append(line(x(estimate.low), y, x(estimate.high), y, class_="whisker"))
    place = x(estimate.value)
    shape = (
        element("circle", cx=place, cy=y, r=6, fill=KEPT)
        if embedding
        else rect(place - 5, y - 5, 10, 10, class_="simple")
    )
    return [*parts, shape, rect(0, y - 13, _WIDTH, 26, fill="transparent", data_tip=tip)]


def _published_row(y: float, title: str, value: float, x: Scale) -> list[Markup]:
    place = x(value)
    return [
        text(0, y + 4, shortened(title, 66), class_="soft"),
        diamond(place, y, class_="published"),
        text(_WIDTH - 176, y + 4, f"{value:.2f}, not from this run", class_="soft"),
        rect(0, y - 13, _WIDTH, 26, fill="transparent", data_tip=f"{title}: {value:.3f}"),
    ]


def confusion(method: MethodFigures, labels: Sequence[str], *, unit: str = "cell") -> Figure:
    """Given against predicted types, shaded by the share of the given type (row)."""
    size = max(7.0, min(44.0, 560 / max(len(labels), 1)))
    left, top = 190.0, 24 + 5.4 * min(20, max(map(len, labels), default=0))
    totals = {t: sum(method.confusion.get((t, p), 0) for p in labels) for t in labels}
    parts = []
    for row, true in enumerate(labels):
        for column, predicted in enumerate(labels):
            cells = method.confusion.get((true, predicted), 0)
            if cells:
                corner = (left + column * size, top + row * size)
                parts += _cell(corner, size, true, predicted, cells, totals[true], len(labels))
    parts += _confusion_names(labels, size, left, top)
    extent = size * len(labels)
    parts.append(rect(left, top, extent, extent, fill="none", class_="frame"))
    right = sum(method.confusion.get((t, t), 0) for t in labels)
    cells = sum(totals.values())
    return Figure(
        f"Given against predicted types: {method.name}",
        canvas(
            left + extent + 100,
            top + extent + 6,
            f"Confusion matrix of {method.name}: {right:,} of {cells:,} {unit}s on the diagonal.",
            text(left - 8, top - 8, "given ↓   predicted →", text_anchor="end", class_="label"),
            *parts,
        ),
        f"{numbers.plural(cells, unit)}; {right:,} on the diagonal",
        "Good: dark squares on the diagonal only. A dark square beside it names two types that "
        "the method mixes up: look at their markers, or join them in the labels.",
    )


def _cell(
    corner: tuple[float, float],
    size: float,
    true: str,
    predicted: str,
    cells: int,
    total: int,
    n_labels: int,
) -> list[Markup]:
    part = cells / total
    tip = f"given {true}, predicted {predicted}: {cells:,} of {total:,} ({numbers.share(part)})"
    square = rect(
        *corner,
        size - 1,
        size - 1,
        fill=KEPT,
        fill_opacity=f"{0.06 + 0.94 * part:.2f}",
        data_tip=tip,
    )
    if n_labels > _NUMBERS_UP_TO:
        return [square]
    x, y = corner[0] + size / 2, corner[1] + size / 2 + 4
    # white on the two thirds of the scale where it has the better contrast
    style = "on-dark" if part > 0.6 else "on-light"
    return [square, text(x, y, f"{100 * part:.0f}", text_anchor="middle", class_=style)]


def _confusion_names(labels: Sequence[str], size: float, left: float, top: float) -> list[Markup]:
    parts = []
    step = 1 if size >= 11 else round(12 / size + 0.49)
    for place, label in list(enumerate(labels))[::step]:
        centre = (place + 0.5) * size
        x, y = left + centre + 4, top - 8
        parts.append(
            text(left - 8, top + centre + 4, shortened(label, 26), text_anchor="end", class_="name")
        )
        parts.append(
            text(
                x, y, shortened(label, 20), transform=f"rotate(-50 {x:.1f} {y:.1f})", class_="name"
            )
        )
    return parts


def composition(
    annotation: Annotation, samples: Sequence[str], marks: Mapping[str, Mark]
) -> Figure | None:
    """Predicted types of each sample as shares; None where no cell was predicted."""
    table = annotation.predictions
    if table.empty:
        return None
    owner = table.index.str.split(":", n=1).str[0]
    counts = table.groupby([owner, "predicted"]).size()
    rows = [s for s in samples if s in counts.index.get_level_values(0)]
    x = Scale(0, 1, 150, _WIDTH - 90)
    parts: list[Markup] = []
    for place, sample in enumerate(rows):
        parts += _stack(8 + 30 * place, sample, counts[sample], marks, x)
    alt = f"Shares of predicted types in {numbers.plural(len(rows), 'sample')}."
    return Figure(
        "Predicted types by sample",
        canvas(_WIDTH, 14 + 30 * len(rows), alt, *parts),
        numbers.plural(len(table), "labelled cell"),
        "Samples of one tissue should look alike. A type that only one sample has is biology or "
        "a batch effect: compare with its QC. Only labelled cells are counted.",
    )


def _stack(
    top: float, sample: str, counts: pd.Series, marks: Mapping[str, Mark], x: Scale
) -> list[Markup]:
    """One sample's bar: its cells by predicted type (`counts`), left to right in the marks' order."""
    total = int(counts.sum())
    parts = [
        text(142, top + 15, shortened(sample, 18), text_anchor="end", class_="name"),
        text(x.stop + 8, top + 15, f"n = {total:,}"),
    ]
    start = 0
    for label in [name for name in marks if name in counts.index]:
        cells = int(counts[label])
        left, right = x(start / total), x((start + cells) / total)
        tip = f"{sample}: {label}, {cells:,} of {total:,} cells ({numbers.share(cells / total)})"
        mark = marks[label]
        ring = mark.shape == "ring"
        parts.append(
            rect(
                left + (1.5 if ring else 0),
                top + (1.5 if ring else 0),
                max(right - left - (4 if ring else 1), 0.5),
                19 if ring else 22,
                fill="#fff" if ring else mark.colour,
                stroke=mark.colour if ring else None,
                stroke_width=3 if ring else None,
                data_label=label,
                class_="grey" if mark.colour == GREY else None,
                data_tip=tip,
            )
        )
        start += cells
        if right - left > 7.6 * min(len(label), 12) + 10:
            parts.append(_stack_name((left + right) / 2, top, label, mark))
    return parts


def _stack_name(x: float, top: float, label: str, mark: Mark) -> Markup:
    """A name on its bar, on white, so that it reads on every colour."""
    name = shortened(label, 12)
    width = 7.6 * len(name) + 6
    plate = rect(x - width / 2, top + 4, width, 14, rx=3, fill="#fff", fill_opacity="0.92")
    return element("g", plate, text(x, top + 15, name, text_anchor="middle"), pointer_events="none")

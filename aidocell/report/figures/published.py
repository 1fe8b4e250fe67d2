"""Published and regenerated figures of a data set, one row a method, never in the same mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.colours import KEPT
from aidocell.report.figures.svg import (
    Figure,
    Scale,
    canvas,
    diamond,
    element,
    line,
    shortened,
    text,
    ticks,
)

__all__ = ["beside_published"]

_WIDTH, _ROW, _TOP = 1040, 26, 34
_TITLES = {"macro_f1": "macro-F1", "ari": "adjusted Rand index"}


def beside_published(rows: Sequence[Mapping[str, Any]], metric: str) -> Figure | None:
    """Both kinds of figure on one axis; None where there is neither.

    Parameters
    ----------
    rows
        Of the table of :func:`aidocell.benchmark.table.benchmark_table`, as plain values.
    metric
        The one to draw.
    """
    kinds = ("published", "regenerated")
    drawn = [r for r in rows if r["metric"] == metric and any(r[k] is not None for k in kinds)]
    if not drawn:
        return None
    low = min(0.0, *(r[k] for r in drawn for k in (*kinds, "low") if r[k] is not None))
    x = Scale(low, 1.0, 300, _WIDTH - 20)
    bottom = _TOP + _ROW * len(drawn)
    parts = _legend()
    for value in ticks(low, 1, most=6):
        parts.append(line(x(value), _TOP, x(value), bottom, class_="grid"))
        parts.append(text(x(value), bottom + 17, f"{value:g}", text_anchor="middle"))
    parts.append(line(x.start, bottom, x.stop, bottom, class_="axis"))
    for place, row in enumerate(drawn):
        parts += _row(_TOP + _ROW * (place + 0.5), row, x)
    title = _TITLES.get(metric, metric)
    middle = (x.start + x.stop) / 2
    parts.append(text(middle, bottom + 36, title, text_anchor="middle", class_="label"))
    return Figure(
        f"Published and regenerated {title}",
        canvas(_WIDTH, bottom + 44, _alt(drawn, title), *parts),
        numbers.plural(sum(r["regenerated"] is not None for r in drawn), "regenerated figure"),
        "Good: where a method has both marks, the diamond lies on the disc's line. Where the line "
        "of a checkpoint (bold) and that of a simple method overlap, neither is shown to be better.",
    )


def _row(y: float, row: Mapping[str, Any], x: Scale) -> list[Markup]:
    style = "strong" if row["model"] else None
    parts = [text(0, y + 4, shortened(row["method"], 42), class_=style)]
    if row["regenerated"] is not None:
        known = _interval(row)
        tip = element("title", f"{row['method']}, regenerated: {known}")
        if row["low"] is not None:
            parts.append(line(x(row["low"]), y, x(row["high"]), y, class_="whisker"))
        parts.append(element("circle", tip, cx=x(row["regenerated"]), cy=y, r=5, fill=KEPT))
    if row["published"] is not None:
        tip = element("title", f"{row['method']}, published: {row['published']:g}")
        parts.append(diamond(x(row["published"]), y, tip, class_="published"))
    return parts


def _legend() -> list[Markup]:
    return [
        element("circle", cx=306, cy=12, r=5, fill=KEPT),
        text(318, 16, "regenerated in this run, line: 95 % interval"),
        diamond(612, 12, element("title", "published"), class_="published"),
        text(624, 16, "published elsewhere"),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    return str(numbers.interval(row["regenerated"], row["low"], row["high"]))


def _alt(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    def words(row: Mapping[str, Any]) -> str:
        parts = [] if row["published"] is None else [f"published {row['published']:g}"]
        if row["regenerated"] is not None:
            parts.append(f"regenerated {_interval(row)}")
        return f"{row['method']} {', '.join(parts)}"

    return f"{title} of each method. " + "; ".join(map(words, rows))

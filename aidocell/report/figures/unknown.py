"""What it costs to call cells unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.colours import GREY, KEPT
from aidocell.report.figures.svg import Figure, Scale, canvas, element, line, text, ticks

__all__ = ["coverage_curve"]

_WIDTH, _HEIGHT = 520, 270
_CURVES = (
    ("flagged", "cells of types left out: flagged", KEPT, None),
    ("accuracy", "known cells that keep a label: called right", GREY, "5 4"),
)


def coverage_curve(content: Mapping[str, Any]) -> Figure | None:
    """Share flagged and share right by the share of known cells that keep their label.

    Parameters
    ----------
    content
        ``classifier.json``.
    """
    unknown = content["unknown"]
    if unknown is None:
        return None
    x, y = Scale(0, 1, 50, _WIDTH - 16), Scale(0, 1, _HEIGHT - 44, 44)
    rule = unknown["far_is_unknown"]
    curve = [row for row in unknown["curve"] if row["far_is_unknown"] == rule]
    parts = _axes(x, y)
    chosen = x(unknown["coverage"])
    parts.append(line(chosen, y.start, chosen, y.stop, stroke=GREY, stroke_dasharray="2 3"))
    for place, (name, title, colour, dashes) in enumerate(_CURVES):
        parts += _curve(curve, name, title, x, y, colour, dashes)
        style = {"stroke": colour, "stroke_width": 2, "stroke_dasharray": dashes}
        parts.append(line(x.start, 10 + 15 * place, x.start + 26, 10 + 15 * place, **style))
        parts.append(text(x.start + 32, 14 + 15 * place, title))
    flagged, kept = (numbers.share(unknown[name]) for name in ("flagged", "coverage"))
    alt = f"At the threshold {kept} of known cells keep their label and {flagged} of cells of types left out are flagged."
    return Figure(
        "What calling cells unknown costs",
        canvas(_WIDTH, _HEIGHT, alt, *parts),
        numbers.plural(unknown["cells"], "known cell"),
        "Good: the solid curve rises steeply from the right, so that few known cells are given up "
        "for many of types that were never learned. Where it stays near the diagonal, new types "
        "are not told from known ones. The dotted line is the threshold.",
    )


def _axes(x: Scale, y: Scale) -> list[Markup]:
    values = ticks(0, 1, most=5)
    parts = [line(x.start, y(v), x.stop, y(v), class_="grid") for v in values]
    parts += [text(x.start - 8, y(v) + 4, f"{v:.0%}", text_anchor="end") for v in values]
    parts += [text(x(v), y.start + 17, f"{v:.0%}", text_anchor="middle") for v in values]
    parts.append(line(x.start, y.start, x.stop, y.start, class_="axis"))
    middle, label = (x.start + x.stop) / 2, "known cells that keep their label"
    return [*parts, text(middle, _HEIGHT - 8, label, text_anchor="middle", class_="label")]


def _curve(
    curve: list[Mapping[str, float]],
    name: str,
    title: str,
    x: Scale,
    y: Scale,
    colour: str,
    dashes: str | None,
) -> list[Markup]:
    path = " ".join(f"{x(row['coverage']):.1f},{y(row[name]):.1f}" for row in curve)
    style = {"fill": "none", "stroke": colour, "stroke_width": 2, "stroke_dasharray": dashes}
    tip = element("title", title)
    return [element("polyline", tip, points=path, **style)]

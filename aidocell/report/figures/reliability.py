"""Whether a method's probabilities mean what they say."""

from __future__ import annotations

import math

from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.annotation import MethodFigures
from aidocell.report.colours import GREY, KEPT
from aidocell.report.figures.svg import Figure, Scale, canvas, element, line, text

__all__ = ["calibration_plot"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 520, 380, 64, 16, 330
_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def calibration_plot(method: MethodFigures, repeats: int = 1) -> Figure | None:
    """Share of cells called right against the probability given; None without any bin."""
    if not method.curve:
        return None
    x, y = Scale(0, 1, _LEFT, _WIDTH - 24), Scale(0, 1, _BOTTOM, _TOP)
    parts = _axes(x, y)
    most = max(bin.cells for bin in method.curve)
    for bin in method.curve:
        tip = (
            f"mean probability {bin.confidence:.2f}: {bin.accuracy:.2f} called right, "
            f"{numbers.plural(bin.cells, 'prediction')}"
        )
        radius = 3 + 9 * math.sqrt(bin.cells / most)
        place = {"cx": x(bin.confidence), "cy": y(bin.accuracy)}
        parts.append(
            element("circle", **place, r=radius, fill=KEPT, fill_opacity="0.75", data_tip=tip)
        )
    error = method.metrics.get("ece")
    shown = numbers.interval(error.value, error.low, error.high) if error else "not recorded"
    cells = sum(bin.cells for bin in method.curve)
    return Figure(
        f"Are its probabilities to be believed: {method.name}",
        canvas(_WIDTH, _HEIGHT, f"Calibration of {method.name}: expected error {shown}.", *parts),
        numbers.plural(cells, "prediction")
        if repeats > 1
        else numbers.plural(cells, "labelled cell"),
        "Good: discs on the line. Below it the method is surer than it may be, above it less sure. "
        "A disc's area follows its cells, in fifteen bins of the largest probability; the expected "
        f"calibration error, {shown}, is the mean distance from the line. Of few cells it comes "
        "out too large.",
    )


def _axes(x: Scale, y: Scale) -> list[Markup]:
    parts = [line(x.start, y(v), x.stop, y(v), class_="grid") for v in _TICKS]
    parts += [text(x.start - 8, y(v) + 4, f"{v:g}", text_anchor="end") for v in _TICKS]
    parts += [text(x(v), y.start + 17, f"{v:g}", text_anchor="middle") for v in _TICKS]
    parts.append(line(x.start, y.start, x.stop, y.stop, stroke=GREY, stroke_dasharray="5 4"))
    parts.append(line(x.start, y.start, x.stop, y.start, class_="axis"))
    middle = (x.start + x.stop) / 2
    label = "largest probability; upwards: share called right"
    return [*parts, text(middle, _HEIGHT - 8, label, text_anchor="middle", class_="label")]

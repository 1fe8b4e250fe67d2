"""Small bars inside table cells, and bars of shares."""

from __future__ import annotations

from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.colours import KEPT, Mark
from aidocell.report.figures.svg import Scale, element, line, rect

__all__ = ["mini_bar", "mini_interval", "swatch"]

_WIDTH, _HEIGHT = 64, 6


def mini_bar(part: float | None) -> Markup:
    """A bar for a part between 0 and 1; decoration beside its number."""
    if numbers.is_missing(part):
        return Markup("")
    width = _WIDTH * min(max(part, 0.0), 1.0)
    return _small(
        rect(0, 0, _WIDTH, _HEIGHT, class_="track"), rect(0, 0, width, _HEIGHT, fill=KEPT)
    )


def mini_interval(value: float | None, low: float | None, high: float | None) -> Markup:
    """A dot with its interval on a line from 0 to 1; decoration beside its numbers."""
    if numbers.is_missing(value):
        return Markup("")
    x = Scale(0, 1, 2, _WIDTH - 2)
    parts = [line(0, 4, _WIDTH, 4, class_="track-line")]
    if not numbers.is_missing(low) and not numbers.is_missing(high):
        parts.append(line(x(low), 4, x(high), 4, class_="whisker"))
    parts.append(element("circle", cx=x(value), cy=4, r=3, fill=KEPT))
    return _small(*parts, height=8)


def swatch(mark: Mark) -> Markup:
    """The mark of a label, for legends and tables."""
    hollow = mark.shape == "ring"
    disc = element(
        "circle",
        cx=5,
        cy=5,
        r=3.4 if hollow else 4.2,
        fill="none" if hollow else mark.colour,
        stroke=mark.colour,
        stroke_width=2 if hollow else 0.5,
    )
    return element(
        "svg", disc, width=10, height=10, viewBox="0 0 10 10", aria_hidden="true", class_="swatch"
    )


def _small(*parts: Markup, height: int = _HEIGHT) -> Markup:
    return element(
        "svg",
        *parts,
        width=_WIDTH,
        height=height,
        viewBox=f"0 0 {_WIDTH} {height}",
        aria_hidden="true",
        class_="mini",
    )

"""The few pieces of SVG that the figures share. All text that enters is escaped here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = [
    "Figure",
    "Scale",
    "canvas",
    "diamond",
    "element",
    "group",
    "line",
    "rect",
    "shortened",
    "text",
    "ticks",
]


@dataclass(frozen=True)
class Figure:
    """A figure with all that a reader needs around it.

    Attributes
    ----------
    title
        What it shows.
    body
        The SVG (or other markup).
    n
        What was counted, in words: "2,700 cells".
    caption
        What good looks like, and what to do where it is not.
    """

    title: str
    body: Markup
    n: str
    caption: str


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An SVG element; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``.

    Children and attribute values are escaped unless they are ``Markup``; attributes that are
    None are left out.
    """
    # names of elements and attributes are those of this package, never a user's
    parts = [
        Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), _number(value))  # noqa: S704
        for key, value in attributes.items()
        if value is not None
    ]
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(parts), inner)  # noqa: S704


def canvas(width: float, height: float, alt: str, *children: object) -> Markup:
    """The outer SVG: scales with the page, has an alternative text, takes the keyboard's focus."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        tabindex=0,
        aria_label=alt,
        class_="plot",
    )


def group(children: Iterable[object], **attributes: object) -> Markup:
    return element("g", *children, **attributes)


def rect(x: float, y: float, width: float, height: float, **attributes: object) -> Markup:
    return element("rect", x=x, y=y, width=width, height=height, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def diamond(x: float, y: float, *children: object, **attributes: object) -> Markup:
    """The mark of a figure that was published elsewhere."""
    return element("path", *children, d=f"M{x - 6:.1f} {y:g}l6 -6l6 6l-6 6z", **attributes)


def text(x: float, y: float, content: object, **attributes: object) -> Markup:
    return element("text", content, x=x, y=y, **attributes)


@dataclass(frozen=True)
class Scale:
    """From a value to a place on the page, evenly or by its logarithm."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        transform: Callable[[float], float] = math.log10 if self.logarithmic else float
        low, high = transform(self.low), transform(self.high)
        part = (transform(value) - low) / (high - low) if high > low else 0.5
        return self.start + part * (self.stop - self.start)


def ticks(low: float, high: float, *, most: int = 6, logarithmic: bool = False) -> list[float]:
    """Round values between `low` and `high`: powers of ten (with 2 and 5 where there is room)."""
    if logarithmic:
        return _log_ticks(low, high, most)
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [f * 10.0**d for d in decades for f in factors]
        inside = [v for v in values if low * 0.999 <= v <= high * 1.001]
        if len(inside) <= most:
            return inside
    return inside


def shortened(name: str, most: int) -> str:
    """`name` with an ellipsis in its middle where it is longer than `most` characters."""
    if len(name) <= most:
        return name
    head = (most - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def _number(value: object) -> object:
    """Places to a tenth of a pixel: finer ones only make the page larger."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value

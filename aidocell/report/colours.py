"""One colour for one label, on every figure of a page.

The hues are those of Okabe and Ito (2008), told apart with all common kinds of colour vision;
yellow comes last, being faint on white. From the ninth label on the marks change their shape as
well, and past twelve labels all are grey and the reader lights one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GREY", "HATCH", "KEPT", "MOST_COLOURS", "Mark", "marks_of"]

OKABE_ITO = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#000000",
    "#f0e442",
)
GREY = "#8d949c"
KEPT = "#0072b2"
HATCH = "url(#hatch)"  # left-out cells: the page defines this pattern once, orange lines
MOST_COLOURS = 12


@dataclass(frozen=True)
class Mark:
    """How a label is drawn: a colour and a shape (``disc`` or ``ring``)."""

    colour: str
    shape: str = "disc"


def marks_of(labels: Sequence[str]) -> dict[str, Mark]:
    """Marks of `labels` in the order given; all grey where there are more than twelve."""
    unique = list(dict.fromkeys(labels))
    if len(unique) > MOST_COLOURS:
        return {label: Mark(GREY) for label in unique}
    shapes = ("disc", "ring")
    size = len(OKABE_ITO)
    return {
        label: Mark(OKABE_ITO[place % size], shapes[place // size])
        for place, label in enumerate(unique)
    }

"""Figures that others published, with their source; none of them was computed here."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["WITHOUT_WEIGHTS", "Published", "published"]

# Methods of the published table that nothing here can run, and why.
WITHOUT_WEIGHTS = {
    "scFoundation-100M": "its weights cannot be had here, and no package of ours runs it",
    "scBERT": "it needs its authors' checkpoint, which cannot be had here",
}


@dataclass(frozen=True)
class Published:
    """One figure of somebody else's.

    Attributes
    ----------
    task
        ``classification`` or ``clustering``.
    dataset, name, metric
        Which figure: as the source calls data set and method.
    method, model
        What regenerates it here, and with which checkpoint; empty where nothing does.
    value
        The figure, with the digits that were published.
    source
        Where it was published.
    """

    task: str
    dataset: str
    name: str
    method: str
    model: str
    metric: str
    value: float
    source: str


@cache
def published() -> tuple[Published, ...]:
    """All of ``published.tsv``, in its order."""
    text = (files("aidocell.benchmark") / "published.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(Published(**{**row, "value": float(row["value"])}) for row in rows)

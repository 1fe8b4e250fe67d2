"""Pass, warn or fail for a sample, with the reasons in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aidocell.report import numbers
from aidocell.report.settings import Limit

__all__ = ["Figures", "Level", "Verdict", "judge", "worst"]

Level = Literal["pass", "warn", "fail"]
_ORDER: tuple[Level, ...] = ("pass", "warn", "fail")


@dataclass(frozen=True)
class Figures:
    """What a sample is judged by; None where it was not computed.

    Shares lie between 0 and 1; the mitochondrial share is per cent.
    """

    cells: int | None = None
    median_genes: float | None = None
    share_resolved: float | None = None
    median_mito: float | None = None
    share_kept: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A level and why, the worst reason first; no reasons where the sample passes."""

    level: Level
    reasons: tuple[str, ...] = ()


# limit → (figure, its name in a sentence, how its value is written)
_RULES = {
    "min_cells": ("cells", "cells kept", numbers.count),
    "min_share_kept": ("share_kept", "of the cells kept", numbers.share),
    "min_median_genes": ("median_genes", "median genes", numbers.count),
    "min_share_resolved": ("share_resolved", "of the counts placed", numbers.share),
    "max_median_mito": ("median_mito", "median mitochondrial share", lambda v: f"{v:.1f} %"),
}


def judge(figures: Figures, limits: Mapping[str, Limit], *, refused: str = "") -> Verdict:
    """Judge a sample.

    Parameters
    ----------
    figures
        Its figures.
    limits
        By the names of :data:`~aidocell.report.settings.DEFAULT_LIMITS`.
    refused
        Why the sample was refused; such a sample fails for that reason alone.
    """
    if refused:
        return Verdict("fail", (f"refused: {refused}",))
    found = [_check(name, figures, limits[name]) for name in _RULES if name in limits]
    broken = sorted((item for item in found if item), key=lambda item: -_ORDER.index(item[0]))
    level = broken[0][0] if broken else "pass"
    return Verdict(level, tuple(reason for _, reason in broken))


def worst(verdicts: Mapping[str, Verdict]) -> Level:
    """The worst level of all samples."""
    return max((v.level for v in verdicts.values()), key=_ORDER.index, default="pass")


def _check(name: str, figures: Figures, limit: Limit) -> tuple[Level, str] | None:
    attribute, words, written = _RULES[name]
    value = getattr(figures, attribute)
    if numbers.is_missing(value):
        return None
    for level in ("fail", "warn"):
        bound = getattr(limit, level)
        if bound is not None and (value < bound if name.startswith("min") else value > bound):
            side = "below" if name.startswith("min") else "above"
            return level, _reason(value, words, written, f"{side} {written(bound)}")
    return None


def _reason(value: float, words: str, written: Callable[[float], str], against: str) -> str:
    if words.startswith("median"):
        return f"{words} {written(value)}, {against}"
    return f"{written(value)} {words}, {against}"

"""The keys of the config's ``report`` section, with their defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches

from aidocell.errors import InputError

__all__ = ["DEFAULT_LIMITS", "Limit", "ReportSettings"]


@dataclass(frozen=True)
class Limit:
    """Where a figure of a sample earns a second look (`warn`) and where it fails (`fail`).

    Either may be ``None``: that step is off.
    """

    warn: float | None = None
    fail: float | None = None


# Shares lie between 0 and 1; mitochondrial shares are per cent, as scanpy writes them.
DEFAULT_LIMITS = {
    "min_cells": Limit(warn=500, fail=100),
    "min_median_genes": Limit(warn=500, fail=200),
    "min_share_resolved": Limit(warn=0.8, fail=0.6),
    "max_median_mito": Limit(warn=10, fail=20),
    "min_share_kept": Limit(warn=0.7, fail=0.4),
}


@dataclass(frozen=True)
class ReportSettings:
    """What the config says about the report.

    Parameters
    ----------
    title
        Heading of the page.
    max_cells_in_map
        Most cells that the map shows; more are drawn by lot, and the caption says so.
    verdict
        Limits by the name of the figure, as in :data:`DEFAULT_LIMITS`.
    """

    title: str = "Single-cell study"
    max_cells_in_map: int = 20_000
    verdict: Mapping[str, Limit] = field(default_factory=lambda: dict(DEFAULT_LIMITS))

    @classmethod
    def from_config(cls, section: Mapping[str, object] | None) -> ReportSettings:
        """Read the config's ``report`` section; keys left out keep their defaults.

        Raises
        ------
        InputError
            ``E_CONFIG``: an unknown key.
        """
        given = dict(section or {})
        _refuse_unknown(given, [f.name for f in fields(cls)], where="report")
        given["verdict"] = _limits(given.get("verdict"))
        return cls(**given)


def _limits(section: Mapping[str, object] | None) -> dict[str, Limit]:
    given = section or {}
    _refuse_unknown(given, DEFAULT_LIMITS, where="report: verdict")
    limits = dict(DEFAULT_LIMITS)
    for name, steps in given.items():
        _refuse_unknown(steps or {}, ["warn", "fail"], where=f"report: verdict: {name}")
        limits[name] = Limit(**(steps or {}))
    return limits


def _refuse_unknown(given: Mapping[str, object], known: Collection[str], *, where: str) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), list(known), n=1)
            raise InputError(
                "E_CONFIG",
                f"the config's section '{where}' has no key '{key}'",
                fix=f"write '{near[0]}'" if near else f"use one of: {', '.join(known)}",
            )

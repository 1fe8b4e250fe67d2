"""Which cells QC removes: fixed thresholds, and bounds from the median absolute deviation."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np

from aidocell.errors import InputError

__all__ = ["Rule", "Thresholds", "bounds", "rules"]

# The MAD of a normal distribution times this is its standard deviation.
_NORMAL = 1.4826
_PERCENT = {
    "max_mito": ("pct_counts_mt", "mitochondrial counts"),
    "max_ribo": ("pct_counts_ribo", "ribosomal counts"),
    "max_hb": ("pct_counts_hb", "haemoglobin counts"),
    "max_top20": ("pct_counts_in_top_20_genes", "of the counts in 20 genes"),
}
_NUMBERS = {"genes": "n_genes_by_counts", "counts": "total_counts"}
_DOUBLETS = ("off", "score", "remove")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thresholds:
    """What QC applies; ``None`` is off.

    Attributes
    ----------
    min_genes, max_genes, min_counts, max_counts
        Bounds on genes with a count, and on counts, of a cell; the bound itself is kept.
    max_mito, max_ribo, max_hb, max_top20
        Largest share in percent (0–100) of mitochondrial, ribosomal and haemoglobin genes, and
        of the cell's 20 largest genes.
    mads
        Number of median absolute deviations (scaled by 1.4826, so that they compare to standard
        deviations) around the sample's median: log1p counts and log1p genes on both sides, the
        mitochondrial share on the upper side.
    doublets
        ``"off"``, ``"score"`` (write the score) or ``"remove"`` (and remove by it).
    doublet_threshold
        Cells with a larger score are removed.
    seed
        Of the simulated doublets.
    """

    min_genes: float | None = None
    max_genes: float | None = None
    min_counts: float | None = None
    max_counts: float | None = None
    max_mito: float | None = None
    max_ribo: float | None = None
    max_hb: float | None = None
    max_top20: float | None = None
    mads: float | None = None
    doublets: str = "off"
    doublet_threshold: float = 0.25
    seed: int = 0

    @classmethod
    def of(cls, thresholds: dict) -> Thresholds:
        """Thresholds from a mapping; missing keys and ``None`` mean the default.

        Raises
        ------
        InputError
            ``E_CONFIG``: an unknown key or value.
        """
        known = [field.name for field in fields(cls)]
        for key in thresholds:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                fix = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
                raise InputError("E_CONFIG", f"there is no QC threshold '{key}'", fix=fix)
        limits = cls(**{key: value for key, value in thresholds.items() if value is not None})
        if limits.doublets not in _DOUBLETS:
            what = f"the QC option doublets is '{limits.doublets}'"
            raise InputError("E_CONFIG", what, fix=f"use one of {', '.join(_DOUBLETS)}")
        return limits

    def doublet_rule(self) -> Rule:
        """The rule of ``doublets: remove``."""
        value = self.doublet_threshold
        reason = f"doublet score over {value:g}"
        return Rule("doublet_score", "upper", value, "doublet_threshold", reason)


@dataclass(frozen=True)
class Rule:
    """One bound on one metric.

    Attributes
    ----------
    metric
        Column of the QC table.
    side
        ``"lower"`` or ``"upper"``.
    value
        The bound, in the metric's own unit; a cell on it is kept.
    source
        The threshold that it comes from.
    reason
        Why a cell beyond it is removed.
    """

    metric: str
    side: str
    value: float
    source: str
    reason: str

    def breaks(self, values: np.ndarray) -> np.ndarray:
        """Which values lie beyond the bound; NaN never does."""
        return values < self.value if self.side == "lower" else values > self.value


def rules(values: Callable[[str], np.ndarray], limits: Thresholds) -> list[Rule]:
    """Fixed rules, then those from the deviations of the cells.

    Parameters
    ----------
    values
        Gives a metric of the cells to go by, a new float64 array each time.
    """
    return [*_fixed(limits), *(_deviations(values, limits.mads) if limits.mads else [])]


def _fixed(limits: Thresholds) -> Iterable[Rule]:
    for noun, metric in _NUMBERS.items():
        for side, key, word in (
            ("lower", f"min_{noun}", "fewer"),
            ("upper", f"max_{noun}", "more"),
        ):
            value = getattr(limits, key)
            if value is not None:
                yield Rule(metric, side, float(value), key, f"{word} than {value:g} {noun}")
    for key, (metric, noun) in _PERCENT.items():
        value = getattr(limits, key)
        if value is not None:
            yield Rule(metric, "upper", float(value), key, f"more than {value:g} % {noun}")


def _deviations(values: Callable[[str], np.ndarray], mads: float) -> Iterable[Rule]:
    for noun, metric in _NUMBERS.items():
        numbers = values(metric)
        middle, width = _spread(np.log1p(numbers, out=numbers), metric)
        for side, sign, word in (("lower", -1, "below"), ("upper", 1, "above")):
            if width:
                value = float(np.expm1(middle + sign * mads * width))
                reason = f"{noun} more than {mads:g} MADs {word} the median"
                yield Rule(metric, side, value, "mads", reason)
    middle, width = _spread(values("pct_counts_mt"), "pct_counts_mt")
    if width:
        reason = f"mitochondrial share more than {mads:g} MADs above the median"
        yield Rule("pct_counts_mt", "upper", middle + mads * width, "mads", reason)


def _spread(values: np.ndarray, metric: str) -> tuple[float, float]:
    """Median and scaled MAD; a MAD of zero says nothing about outliers, so it gives no bound.

    The values are changed: there is no room for copies of millions.
    """
    if not len(values):
        return 0.0, 0.0
    middle = float(np.median(values, overwrite_input=True))
    values -= middle
    np.abs(values, out=values)
    width = _NORMAL * float(np.median(values, overwrite_input=True))
    if not width:
        _log.warning("over half of the cells have the same %s: no bound from MADs", metric)
    return middle, width


def bounds(applied: Iterable[Rule]) -> dict[str, dict[str, dict[str, object]]]:
    """The strictest bound of each metric and side: ``{metric: {side: {"value", "source"}}}``."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for rule in applied:
        sides = found.setdefault(rule.metric, {})
        stricter = max if rule.side == "lower" else min
        old = sides.get(rule.side)
        if old is None or stricter(rule.value, old["value"]) != old["value"]:
            sides[rule.side] = {"value": rule.value, "source": rule.source}
    return found

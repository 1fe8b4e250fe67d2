"""Numbers as people read them: digits follow the interval, thousands stand apart."""

from __future__ import annotations

import math

from markupsafe import Markup

__all__ = [
    "count",
    "decimals_for",
    "duration",
    "estimate",
    "interval",
    "missing",
    "plural",
    "share",
]

_LARGEST_SHARE_BELOW_ALL = 0.999


def count(value: float | None, why: str = "not recorded") -> str | Markup:
    """A whole number with its thousands apart: 2,638."""
    if is_missing(value):
        return missing(why)
    return f"{value:,.0f}".replace("-", "−")


def share(value: float | None, why: str = "not recorded") -> str | Markup:
    """A share between 0 and 1 as per cent; never rounded up to 100 or down to 0."""
    if is_missing(value):
        return missing(why)
    percent = 100 * value
    if 0 < percent < 0.1:
        return "under 0.1 %"
    if _LARGEST_SHARE_BELOW_ALL < value < 1:
        return "over 99.9 %"
    return f"{percent:.0f} %" if value in (0, 1) else f"{percent:.1f} %"


def decimals_for(low: float, high: float) -> int:
    """Decimals that an interval leaves meaning to: a step is at most a quarter of its width.

    2 for a width of 0.06 or 0.3, 1 for 0.5, 3 for 0.01.
    """
    width = abs(high - low)
    if not math.isfinite(width) or width == 0:
        return 2
    return max(0, min(4, math.ceil(-math.log10(width / 4) - 1e-9)))


def estimate(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    why: str = "not recorded",
) -> str | Markup:
    """A figure with the digits that its interval allows; two decimals where it has none."""
    if is_missing(value):
        return missing(why)
    decimals = 2 if is_missing(low) or is_missing(high) else decimals_for(low, high)
    return _signed(value, decimals)


def interval(
    value: float | None, low: float | None, high: float | None, why: str = "not recorded"
) -> str | Markup:
    """A figure with its interval, all with the same digits: 0.83 (0.80 to 0.86)."""
    if is_missing(value):
        return missing(why)
    if is_missing(low) or is_missing(high):
        return estimate(value)
    decimals = decimals_for(low, high)
    while decimals < 4 and any(v and not round(v, decimals) for v in (low, high)):
        decimals += 1  # an interval that excludes zero must not seem to end there
    low_text, high_text = _signed(low, decimals), _signed(high, decimals)
    return f"{_signed(value, decimals)} ({low_text} to {high_text})"


def duration(seconds: float | None, why: str = "not recorded") -> str | Markup:
    """A time in the two largest units that it fills: 45 s, 3 min 20 s, 2 h 5 min."""
    if is_missing(seconds):
        return missing(why)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def plural(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 cell, 2,638 cells."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def missing(why: str) -> Markup:
    """A dash that carries its reason: shown on hover and focus, read aloud, written out in print."""
    return Markup(
        '<span class="missing" tabindex="0" title="{0}" data-why="{0}">'
        '<span aria-hidden="true">–</span><span class="aloud">missing: {0}</span></span>'
    ).format(why)


def is_missing(value: float | None) -> bool:
    """Whether there is no number: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _signed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")  # a true minus sign has the width of a digit

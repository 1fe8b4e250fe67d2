"""A forecast in words and a table."""

from __future__ import annotations

from aidocell.errors import printable
from aidocell.forecast import ASSUMPTIONS, Forecast, SampleForecast
from aidocell.texttable import table_lines

__all__ = ["forecast_lines"]

_NUMBERS = (1, 3, 4, 5, 6)  # columns of the table
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def forecast_lines(found: Forecast) -> list[str]:
    """What :func:`aidocell.forecast.forecast` found, for a person to read."""
    good = [sample for sample in found.samples if not sample.problem]
    header = (
        "sample",
        "cells",
        "known from",
        "shards",
        f"{found.device} time",
        "counts",
        "embeddings",
    )
    rows = [header, *(_row(sample) for sample in good)]
    totals = (found.total(name) for name in ("seconds", "counts_bytes", "embeddings_bytes"))
    seconds, counts, embeddings = totals
    rows.append(
        (
            "in all",
            f"{found.total('cells'):,}",
            "",
            f"{found.total('shards'):,}",
            _time(seconds),
            _size(counts),
            _size(embeddings),
        )
    )
    refused = [f"left out: {printable(s.sample)}: {s.problem}" for s in found.samples if s.problem]
    return [
        *table_lines(rows, right=_NUMBERS),
        *refused,
        "",
        *_figures(found),
        "",
        *_after(found),
        *_assumed(found),
    ]


def _row(sample: SampleForecast) -> tuple[str, ...]:
    return (
        sample.sample,
        f"{sample.cells:,}",
        sample.known_from,
        f"{sample.shards:,}",
        _time(sample.seconds),
        _size(sample.counts_bytes),
        _size(sample.embeddings_bytes),
    )


def _figures(found: Forecast) -> list[str]:
    rate = found.rate
    room = "" if found.peak_bytes < found.free_bytes else ": TOO LITTLE"
    lines = [
        f"rate: {rate.cells_per_second:g} cells a second and job ({rate.source})",
        f"disk: {_size(found.disk_bytes)}, {_size(found.peak_bytes)} at the peak; "
        f"{_size(found.free_bytes)} are free{room}",
        f"files: {found.files:,}",
    ]
    for rule, memory in found.memory.items():
        needed, asked = memory["needed_mib"], memory["asked_mib"]
        short = ": TOO LITTLE" if asked and needed > asked else ""
        lines.append(
            f"memory of {rule}: {needed:,} MiB ({memory['source']}); profiles/slurm asks for "
            + (f"{asked:,} MB{short}" if asked else "no stated amount")
        )
    return lines


def _after(found: Forecast) -> list[str]:
    actual = found.actual
    if actual is None:
        return []
    return [
        f"so far: {actual['shards']:,} of {found.total('shards'):,} shards were timed; planned "
        f"{_time(actual['planned_seconds'])}, taken {_time(actual['seconds'])}: "
        f"{actual['ratio']:.2g} times the plan",
        f"for the next plan: embed: cells_per_second: {actual['cells_per_second']:.3g}",
        "",
    ]


def _assumed(found: Forecast) -> list[str]:
    return [f"assumed: {line}" for line in ASSUMPTIONS]


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} {_UNITS[-1]}"

"""Progress of long work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["clock", "progress", "speed"]

log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 30


@contextmanager
def progress(what: str, total: int, *, unit: str = "cells") -> Iterator[Callable[..., None]]:
    """Give a function that is told how many more units are done.

    With ``saved=True`` they were done by an earlier run, and say nothing of how fast this one is.

    Parameters
    ----------
    what
        Names the work, for instance ``"Embedding pbmc3k"``.
    total
        Units in all.
    """
    with (_bar if sys.stderr.isatty() else _lines)(what, total, unit) as advance:
        yield advance


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=total, rate="")

        def advance(done: int, *, saved: bool = False) -> None:
            bars.update(task, advance=done)
            now = bars.tasks[0].speed
            bars.update(task, rate=f"{speed(now)} {unit}/s" if now else "")

        yield advance


@contextmanager
def _lines(what: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    began = last = time.monotonic()
    finished = earlier = 0

    def advance(done: int, *, saved: bool = False) -> None:
        nonlocal earlier, finished, last
        finished += done
        earlier += done if saved else 0
        now = time.monotonic()
        made = finished - earlier
        due = made and now - last >= _SECONDS_BETWEEN_LINES
        if due or (finished and finished == total):
            last = now
            rate = made / max(now - began, 1e-9)
            left = (total - finished) / max(rate, 1e-9)
            log.info(
                "%s: %d of %d %s, %s %s/s, %s left",
                what,
                finished,
                total,
                unit,
                speed(rate),
                unit,
                clock(left),
            )

    yield advance


def speed(rate: float) -> str:
    """A rate in three digits, and never as a power of ten where it is large."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"


def clock(seconds: float) -> str:
    """A span of time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"

"""An end by SIGTERM that cleans up: Slurm's at a time limit, a cancellation or a preemption."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stopped", "unwind_on_sigterm"]

_SECONDS_FOR_REPEATS = 10


class Stopped(SystemExit):
    """The process was asked to end by a signal; its exit status is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = int(number)

    def __str__(self) -> str:
        return f"stopped by signal {self.number}"


@contextmanager
def unwind_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the body as :class:`Stopped`, so that temporary files and locks are removed.

    Repeats are ignored for some seconds: Slurm and Snakemake may send one each, and the second
    would interrupt the clean-up.
    """
    first = None

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal first
        if first is None or time.monotonic() - first > _SECONDS_FOR_REPEATS:
            first = time.monotonic()
            raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)

"""Unfinished work for an output: gone on with, begun anew, or neither without being asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidocell.errors import InputError
from aidocell.files import refuse_existing, remove
from aidocell.lock import hold

__all__ = ["work_beside"]

log = logging.getLogger(__name__)


@contextmanager
def work_beside(output: Path, *, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Hold the hidden folder beside `output` for work so far; one process at a time.

    It is deleted when the body ends well, and after an `InputError` where there was none before;
    after a kill or another error it stays, to be gone on from.

    Raises
    ------
    InputError
        ``E_OUTPUT_EXISTS``, as of :func:`_require_intent`.
    MachineError
        ``E_LOCKED``.
    """
    work = output.with_name(f".{output.name}.partial")
    with hold(output.with_name(f".{output.name}.lock")):
        _require_intent(output, work, overwrite=overwrite, resume=resume)
        fresh = not work.exists()
        try:
            yield work
        except InputError:
            if fresh:
                remove(work)
            raise
        remove(work)


def _require_intent(output: Path, work: Path, *, overwrite: bool, resume: bool) -> None:
    """Go on, begin anew, or say that either has to be asked for.

    Raises
    ------
    InputError
        ``E_OUTPUT_EXISTS``: there is unfinished work that is neither to be resumed nor replaced,
        or a finished output and no work to resume.
    """
    if work.exists() and not resume:
        if not overwrite:
            raise InputError(
                "E_OUTPUT_EXISTS",
                f"there is unfinished work for {output} in {work}",
                fix="give --resume to go on with it, or --overwrite to begin anew",
            )
        remove(work)
    if resume and not work.exists():
        refuse_existing(output, overwrite=overwrite)
        log.info("there is no unfinished work for %s: beginning", output)

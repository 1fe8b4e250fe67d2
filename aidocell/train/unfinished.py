"""Unfinished work for an output: gone on with, begun anew, or neither without being asked."""

from __future__ import annotations

import logging
from pathlib import Path

from aidocell.errors import InputError
from aidocell.files import refuse_existing, remove

__all__ = ["require_intent"]

log = logging.getLogger(__name__)


def require_intent(output: Path, work: Path, *, overwrite: bool, resume: bool) -> None:
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

"""Plan the shards of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.lineage import require_aligned
from aidocell.planning import plan_shards
from aidocell.records import read_record
from aidocell.workload import PLANNED_BY

__all__ = ["plan_sample"]


def plan_sample(
    counts: str | Path,
    model_record: str | Path,
    output: str | Path,
    *,
    embed: Mapping[str, Any],
    aligned: Mapping[str, Any] | None = None,
) -> None:
    """Write the sample's plan, ``shards.json``, for the checkpoint in ``model.json``.

    Parameters
    ----------
    aligned
        What :func:`aidocell.lineage.require_aligned` compares the counts with.
    """
    if aligned is not None:
        require_aligned(counts, **aligned)
    plan_shards(
        counts,
        output,
        checkpoint=read_record(model_record),
        **{name: embed[name] for name in PLANNED_BY},
    )

"""Plan the shards of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.planning import plan_shards
from aidocell.records import read_record

__all__ = ["plan_sample"]


def plan_sample(
    counts: str | Path, model_record: str | Path, output: str | Path, *, embed: Mapping[str, Any]
) -> None:
    """Write the sample's plan, ``shards.json``, for the checkpoint in ``model.json``."""
    plan_shards(
        counts,
        output,
        checkpoint=read_record(model_record),
        pooling=embed["pooling"],
        precision=embed["precision"],
        attention=embed["attention"],
        shard_cells=embed["shard_cells"],
    )

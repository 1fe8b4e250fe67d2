"""Where a plan's shards lie; imports nothing heavy, since the Snakefile asks."""

from __future__ import annotations

from pathlib import Path

from aidocell.records import read_record

__all__ = ["shard_paths"]


def shard_paths(plan: str | Path) -> list[str]:
    """Paths of a plan's shards, beside the plan."""
    planned = read_record(plan)
    folder = Path(plan).parent / "shards" / planned["key"]
    return [f"{folder}/{start}-{stop}.zarr.zip" for start, stop in planned["shards"]]

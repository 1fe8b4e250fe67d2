"""The plan of a sample's shards: row ranges and the key of all that can change a result.

The key's first 12 hex digits are in every shard's path, so a shard made from other counts, another
checkpoint or other options simply lies elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aidocell.provenance import REVISION, require_same, run_key
from aidocell.records import read_record, write_record
from aidocell.store import StoreReader
from aidocell.workload import Rate, rate_of, shard_size

__all__ = ["first_row", "input_of", "plan_rows", "plan_shards", "planned_counts", "read_plan"]


def plan_shards(
    counts: str | Path,
    output: str | Path,
    *,
    checkpoint: Mapping[str, Any],
    pooling: str,
    precision: str,
    attention: str,
    shard_cells: int | str = "auto",
    shard_minutes: float = 20,
    cells_per_second: float | None = None,
    device: str = "auto",
) -> dict:
    """Write the plan of a sample, ``shards.json``: row ranges and run key, no times.

    A plan that is there is kept as long as its key holds, also where the size of a shard or the
    rate changed since: its finished shards stay good.

    Parameters
    ----------
    counts
        The sample's ``counts.zarr.zip``.
    checkpoint
        The record of the model, as in ``model.json``; its weights are not needed here.
    shard_cells
        Cells in a shard; ``auto`` is about `shard_minutes` of work.
    cells_per_second
        Of one job; assumed from the size of the model and `device` where it is not given.
    """
    options = {"pooling": pooling, "precision": precision, "attention": attention}
    rate = rate_of(
        checkpoint.get("config"),
        device=device,
        precision=precision,
        cells_per_second=cells_per_second,
    )
    with StoreReader(counts) as store:
        size = shard_size(
            store.shape[0], rate, shard_cells=shard_cells, shard_minutes=shard_minutes
        )
        return plan_rows(store, Path(output), checkpoint, options, size, rate)


def plan_rows(
    store: StoreReader,
    output: Path,
    checkpoint: Mapping[str, Any],
    options: dict[str, str],
    size: int,
    rate: Rate,
) -> dict:
    """Plan the rows of opened counts in shards of `size` cells, or keep the plan in `output`.

    `rate` is on record beside the shards and not part of the key, since it changes no result.
    """
    require_same(
        "gene list",
        checkpoint["genes_sha256"],
        store.provenance["genes_sha256"],
        where=str(store.path),
    )
    made_from = {
        "model": {
            "id": checkpoint["id"],
            "sha256": checkpoint["sha256"],
            "revision": checkpoint["revision"] or "",
            "demonstration": checkpoint["demonstration"],
        },
        "genes_sha256": checkpoint["genes_sha256"],
        "counts_digest": store.provenance["counts_digest"],
        "options": options,
    }
    # the name of a checkpoint changes no result; its tensors do
    key = run_key(revision=REVISION["embed"], **{**made_from, "model": checkpoint["sha256"]})
    if output.exists() and (kept := read_plan(output))["run_key"] == key:
        return kept
    cells = store.shape[0]
    shards = [[start, min(start + size, cells)] for start in range(0, cells, size)]
    plan = {"run_key": key, "key": key[:12], **made_from, "cells": cells}
    plan |= {"planned": _planned(cells, rate), "shards": shards}
    write_record(output, plan)
    return plan


def _planned(cells: int, rate: Rate) -> dict[str, float | str]:
    """How long the sample's jobs will take together, in seconds, and by what rate."""
    return {"seconds": round(cells / rate.cells_per_second, 1), **asdict(rate)}


def read_plan(path: str | Path) -> dict:
    """A plan as :func:`plan_shards` wrote it."""
    return read_record(path)


def first_row(path: str | Path) -> int:
    """The first row of a shard, from its file's name."""
    return int(Path(path).name.split("-")[0])


def input_of(counts: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of the file that counts of this provenance were read from, and its sample."""
    return {name: counts[name] for name in ("input_sha256", "sample") if name in counts}


@contextmanager
def planned_counts(counts: str | Path, plan: dict) -> Iterator[StoreReader]:
    """Open the counts that the plan was made for, and no others."""
    with StoreReader(counts) as store:
        found = store.provenance.get("counts_digest")
        require_same("counts digest", plan["counts_digest"], found, where=str(counts))
        yield store

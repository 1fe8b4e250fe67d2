"""How much work a cell is and how fast it is done: what shards are cut by, and forecasts made with.

Imports nothing heavy, since every sample's plan is made where Snakemake runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from aidocell.errors import InputError

__all__ = [
    "PLANNED_BY",
    "Rate",
    "embedding_bytes",
    "flops_per_cell",
    "rate_of",
    "shard_size",
]

# keys of the configuration's `embed` that a plan depends on
PLANNED_BY = (
    "pooling",
    "precision",
    "attention",
    "device",
    "shard_cells",
    "shard_minutes",
    "cells_per_second",
)
# Floating-point operations a second that a job is assumed to reach, by device and precision. The
# CPU's was measured on two cores; those of a GPU are guesses at a data centre's card of 2020.
_ASSUMED_SPEED = {
    ("cpu", "float32"): 5e10,
    ("cpu", "bfloat16"): 5e10,
    ("cuda", "float32"): 1e13,
    ("cuda", "bfloat16"): 5e13,
}
_LARGEST_RATE = 500.0  # cells a second: reading and preparing a cell takes time whatever the model
_MOST_SHARDS = 2000  # of one sample: each is a job and a few files
_BYTES_OF_A_NAME = 64  # of a cell, generously


@dataclass(frozen=True)
class Rate:
    """How fast one job embeds.

    Attributes
    ----------
    cells_per_second
        Of one job.
    source
        Where the figure comes from, in words.
    """

    cells_per_second: float
    source: str


def flops_per_cell(shape: Mapping[str, float]) -> float:
    """Floating-point operations of one cell: attention is 4·S²·H a layer, the rest 8·S·H² + 6·S·H·I.

    Parameters
    ----------
    shape
        The fields of :class:`aidocell.model.ModelConfig`.
    """
    positions, hidden = shape["max_position_embeddings"] + 2, shape["hidden_size"]
    rest = positions * hidden * (8 * hidden + 6 * shape["intermediate_size"])
    return shape["num_hidden_layers"] * (4 * positions**2 * hidden + rest)


def rate_of(
    shape: Mapping[str, float] | None,
    *,
    device: str,
    precision: str,
    cells_per_second: float | None = None,
) -> Rate:
    """The rate of one job: as configured, else assumed from the size of the model.

    Parameters
    ----------
    shape
        As for :func:`flops_per_cell`; not needed where the rate is given.
    device
        ``cpu``, or anything else for a GPU: plans are made on nodes that have none.
    cells_per_second
        The configuration's ``embed.cells_per_second``.

    Raises
    ------
    InputError
        ``E_STORE_DAMAGED``: `shape` is not known.
    """
    if cells_per_second is not None:
        return Rate(float(cells_per_second), "embed.cells_per_second of the config")
    if not shape:
        raise InputError(
            "E_STORE_DAMAGED",
            "the record of the model, model.json, does not say the model's shape",
            fix="delete it and run the same command again",
        )
    kind = "cpu" if device == "cpu" else "cuda"
    speed, work = _ASSUMED_SPEED[kind, precision], flops_per_cell(shape)
    name = "a CPU" if kind == "cpu" else "a GPU"
    return Rate(
        float(f"{min(speed / work, _LARGEST_RATE):.4g}"),
        f"assumed: {speed:.0e} operations a second on {name} in {precision}, {work:.2e} a cell",
    )


def shard_size(
    cells: int, rate: Rate, *, shard_cells: int | str = "auto", shard_minutes: float = 20
) -> int:
    """Cells in a shard: as given, or even parts of about `shard_minutes` of work, at most 2,000."""
    if shard_cells != "auto":
        return int(shard_cells)
    largest = max(1.0, rate.cells_per_second * 60 * shard_minutes, cells / _MOST_SHARDS)
    shards = max(1, math.ceil(cells / largest))
    return max(1, math.ceil(cells / shards))


def embedding_bytes(cells: int, hidden: int) -> int:
    """What embeddings of so many cells take on a disk, in bytes."""
    return cells * (4 * hidden + _BYTES_OF_A_NAME) + (1 << 16)

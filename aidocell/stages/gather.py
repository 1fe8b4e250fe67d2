"""Join the shards of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.gathering import gather
from aidocell.lineage import origin_of_model, origin_of_plan, require_aligned, require_one_origin
from aidocell.records import read_record

__all__ = ["gather_sample"]


def gather_sample(
    counts: str | Path,
    plan: str | Path,
    shards: Sequence[str | Path],
    output: str | Path,
    *,
    model_record: str | Path,
    options: Mapping[str, str],
    aligned: Mapping[str, Any] | None = None,
) -> None:
    """Write the sample's ``embeddings.zarr.zip`` by the plan of this very model and config.

    Parameters
    ----------
    model_record
        ``model.json``.
    options
        Pooling, precision and attention of the configuration.
    aligned
        What :func:`aidocell.lineage.require_aligned` compares the counts with.

    Raises
    ------
    InputError
        As :func:`aidocell.gathering.gather`; ``E_STORE_MISMATCH``: the plan is of another
        checkpoint or of other options.
    """
    parts = {
        "the config": {"options": dict(options)},
        str(model_record): origin_of_model(read_record(model_record)),
        str(plan): origin_of_plan(plan),
    }
    require_one_origin(parts)
    if aligned is not None:
        require_aligned(counts, **aligned)
    gather(counts, plan, shards, output)

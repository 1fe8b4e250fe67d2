"""The shards of a plan joined into the embeddings of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np

from aidocell.errors import InputError
from aidocell.planning import first_row, read_plan
from aidocell.provenance import require_same
from aidocell.sharding import input_of, planned_counts
from aidocell.store import EMBEDDING, read_store, write_store

__all__ = ["gather"]


def gather(
    counts: str | Path,
    plan: str | Path,
    shards: Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = True,
) -> None:
    """Join the shards of a plan into ``embeddings.zarr.zip``, cells in the order of the counts.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: a shard of another plan, or one too few; ``E_STORE_DAMAGED``: a torn
        one; ``E_NO_CELLS``: no cell has a count in the model's genes.
    """
    planned = read_plan(plan)
    with planned_counts(counts, planned) as store:
        obs, counted = store.obs, store.provenance
    parts = [_read_shard(path, planned) for path in sorted(shards, key=first_row)]
    names = [name for part in parts for name in part.obs_names]
    # the shards may be older than the counts, made from another file that held the same
    provenance = {**parts[0].uns["aidocell"], **input_of(counted)}
    left_out = [name for part in parts for name in part.uns["aidocell"].get("left_out", [])]
    if left_out:
        provenance["left_out"] = left_out
    in_order = obs.index[~obs.index.isin(left_out)]
    require_same("cells", in_order.tolist(), names, where=f"the shards of {plan}")
    if not names:
        what = f"none of the {len(obs):,} cells of {counts} has a count in the model's genes"
        raise InputError("E_NO_CELLS", what, fix="give a matrix with counts, or another --layer")
    vectors = np.concatenate([part.obsm[EMBEDDING] for part in parts])
    gathered = ad.AnnData(obs=obs.loc[names], obsm={EMBEDDING: vectors})
    write_store(gathered, output, provenance=provenance, overwrite=overwrite)


def _read_shard(path: str | Path, plan: dict) -> ad.AnnData:
    shard = read_store(path)
    require_same("run key", plan["run_key"], shard.uns["aidocell"].get("run_key"), where=str(path))
    return shard

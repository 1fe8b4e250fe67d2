"""The shards of a plan joined into the embeddings of a sample, a range of cells at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import zarr
from anndata.io import write_elem

from aidocell.errors import InputError
from aidocell.files import require_space
from aidocell.planning import first_row, input_of, planned_counts, read_plan
from aidocell.provenance import require_same
from aidocell.rows import RANGE, new_array
from aidocell.seal import damaged
from aidocell.store import EMBEDDING, StoreReader, deterministic, new_store, verify

__all__ = ["gather"]

_BYTES_PER_CELL = 100  # of a name and some columns, generously


def gather(
    counts: str | Path,
    plan: str | Path,
    shards: Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = True,
) -> None:
    """Join the shards of a plan into ``embeddings.zarr.zip``, cells in the order of the counts.

    Memory is bounded by a range of cells, whatever the sizes of sample and shards.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: a shard of another plan, or one too few; ``E_STORE_DAMAGED``: a torn
        one, or one that holds NaN or infinity; ``E_NO_CELLS``: no cell has a count in the model's
        genes.
    MachineError
        ``E_DISK_FULL``: the output would not fit on its disk.
    """
    planned, paths = read_plan(plan), sorted(map(Path, shards), key=first_row)
    with planned_counts(counts, planned) as store:
        held, provenance = _checked(store, paths, planned["run_key"], where=f"the shards of {plan}")
        if not held.any():
            what = f"none of the {len(held):,} cells of {counts} has a count in the model's genes"
            fix = "give a matrix with counts, or another --layer"
            raise InputError("E_NO_CELLS", what, fix=fix)
        require_space(output, _bytes_needed(paths, len(held)), what=str(output))
        with new_store(output, overwrite=overwrite) as folder, deterministic():
            group = zarr.open_group(folder, mode="w", zarr_format=3)
            write_elem(group, "/", ad.AnnData(uns={"aidocell": provenance}))
            store.copy_table(group.create_group("obs", overwrite=True), held)
            _join(paths, group["obsm"], cells=int(held.sum()))


def _checked(
    counts: StoreReader, shards: Sequence[Path], run_key: str, *, where: str
) -> tuple[np.ndarray, dict]:
    """Which cells of the counts have an embedding, boolean, and the provenance of them all."""
    provenance, left_out, held = {}, [], np.zeros(0, bool)
    for path in shards:
        verify(path)
        with StoreReader(path) as shard:
            require_same("run key", run_key, shard.provenance.get("run_key"), where=str(path))
            held = np.concatenate([held, *_held(counts, shard, len(held), where=where)])
            left_out += shard.provenance.get("left_out", [])
            provenance = provenance or shard.provenance
    require_same("cells", counts.shape[0], len(held), where=where)
    # the shards may be older than the counts, made from another file that held the same
    provenance = {**provenance, **input_of(counts.provenance)}
    if left_out:
        provenance["left_out"] = left_out
    return held, provenance


def _held(
    counts: StoreReader, shard: StoreReader, start: int, *, where: str
) -> Iterator[np.ndarray]:
    """Which cells from `start` on the shard holds, by ranges; refuses a shard of other cells."""
    left_out = shard.provenance.get("left_out", [])
    stop, seen = start + shard.shape[0] + len(left_out), 0
    for first in range(start, stop, RANGE):
        planned = counts.cells(first, min(first + RANGE, stop))
        held = ~planned.isin(left_out)
        found = shard.cells(seen, seen + int(held.sum()))
        require_same("cells", planned[held].tolist(), found.tolist(), where=where)
        seen += len(found)
        yield held
    require_same("cells", seen, shard.shape[0], where=where)


def _bytes_needed(shards: Sequence[Path], cells: int) -> int:
    """Of the output, once as a folder and once packed."""
    return 2 * (sum(path.stat().st_size for path in shards) + cells * _BYTES_PER_CELL)


def _join(shards: Sequence[Path], obsm: zarr.Group, *, cells: int) -> None:
    """Write the vectors of all shards, one after the other."""
    vectors, written = None, 0
    for path in shards:
        with StoreReader(path) as shard:
            if vectors is None:
                vectors = new_array(obsm, EMBEDDING, (cells, shard.width), np.dtype(np.float32))
            for part in shard.vectors(np.ones(shard.shape[0], bool)):
                if not np.isfinite(part).all():
                    raise damaged(path, "it holds NaN or infinity")
                vectors[written : written + len(part)] = part
                written += len(part)

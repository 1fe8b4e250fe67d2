"""Embedding in shards: one range of rows at a time; :mod:`aidocell.gathering` joins them.

Cells are independent, so a sample is cut into ranges of rows as :mod:`aidocell.planning` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from aidocell.blocks import BLOCK_CELLS, Block, WorkSoFar, embed_blocks, join_blocks
from aidocell.embedding import Embedder, Runtime, resolve_runtime
from aidocell.errors import InputError, MachineError, printable
from aidocell.files import require_space
from aidocell.model import AidoCell, load_model
from aidocell.planning import input_of, plan_rows, planned_counts, read_plan
from aidocell.progress import progress
from aidocell.provenance import REVISION, VERSION, require_same, run_key
from aidocell.store import EMBEDDING, SUFFIX, StoreReader, read_store, verify, write_store
from aidocell.workload import embedding_bytes, rate_of, shard_size

__all__ = ["embed_shard", "embed_shards", "run_shard"]

log = logging.getLogger(__name__)


def embed_shard(
    counts: str | Path,
    plan: str | Path,
    rows: str,
    output: str | Path,
    *,
    model: str,
    revision: str | None = None,
    device: str = "auto",
    batch_size: int | str = "auto",
    accept_license: bool = False,
    block_cells: int = BLOCK_CELLS,
) -> None:
    """Embed the cells of one shard into a store of its own; a killed job goes on where it stopped.

    Parameters
    ----------
    counts, plan
        The sample's ``counts.zarr.zip`` and ``shards.json``.
    rows
        Row range as in the shard's file name, ``"<start>-<stop>"``.
    model
        The checkpoint that the plan was made for.
    block_cells
        Cells after which work so far is saved, where half a minute is not over before.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: counts or checkpoint are not those of the plan.
    MachineError
        ``E_GPU_MEMORY``, ``E_DISK_FULL``; work so far stays.
    """
    planned = read_plan(plan)
    options = planned["options"]
    runtime = resolve_runtime(
        device=device, precision=options["precision"], attention=options["attention"]
    )
    network = load_model(model, revision=revision, accept_license=accept_license)
    require_same(
        "checkpoint", planned["model"]["sha256"], network.checkpoint.sha256, where=str(model)
    )
    start, stop = (int(part) for part in rows.split("-"))
    with (
        planned_counts(counts, planned) as store,
        progress(f"Rows {rows}", stop - start) as advance,
    ):
        run_shard(
            network,
            store,
            planned,
            (start, stop),
            Path(output),
            runtime,
            batch_size,
            advance,
            block_cells=block_cells,
        )


def run_shard(
    network: AidoCell,
    store: StoreReader,
    plan: dict,
    rows: tuple[int, int],
    output: Path,
    runtime: Runtime,
    batch_size: int | str,
    advance: Callable[..., None],
    *,
    block_cells: int = BLOCK_CELLS,
) -> None:
    """Embed the planned rows ``(start, stop)`` of opened counts with a loaded model.

    Work so far lies in a hidden folder beside `output`, from which a killed job goes on.
    """
    start, stop = rows
    width = network.config.hidden_size
    what = f"the embedding of rows {start}-{stop}"
    require_space(output, 3 * embedding_bytes(stop - start, width), what=what)
    key = run_key(plan=plan["run_key"], resolved=asdict(runtime))
    work = WorkSoFar(output.with_name(f".{output.name}.partial"), key=key, width=width)
    blocks = work.saved(store, rows)
    done = blocks[-1].stop if blocks else start
    if blocks:
        log.info("%d of %d cells were saved by an earlier run", done - start, stop - start)
        advance(done - start, saved=True)
    embedder = Embedder(
        network,
        measured=store.var["measured"].to_numpy(bool),
        pooling=plan["options"]["pooling"],
        runtime=runtime,
        batch_size=batch_size,
    )
    began = time.monotonic()
    for block in embed_blocks(
        embedder, store, rows, done=done, block_cells=block_cells, advance=advance
    ):
        blocks.append(block)
        if block.stop < stop:
            work.save(block)
    seconds = max(time.monotonic() - began, 1e-9)
    log.info("rows %d-%d: %.3g cells/s", start, stop, (stop - done) / seconds)
    provenance = {**_provenance(plan, runtime), **input_of(store.provenance)}
    _write_shard(join_blocks(blocks), output, provenance)
    work.clear()


def embed_shards(
    network: AidoCell,
    counts: Path,
    work: Path,
    options: dict[str, str],
    runtime: Runtime,
    batch_size: int | str,
    block_cells: int,
) -> list[Path]:
    """Plan opened counts and embed the shards that are not whole in `work` yet, one by one.

    Returns
    -------
    list
        Paths of all shards; their plan is ``shards.json`` in `work`.
    """
    config = asdict(network.config)
    rate = rate_of(config, device=runtime.device, precision=runtime.precision)
    shards = []
    with StoreReader(counts) as store, progress("Embedding", store.shape[0]) as advance:
        size = shard_size(store.shape[0], rate)
        record = asdict(network.checkpoint)
        plan = plan_rows(store, work / "shards.json", record, options, size, rate)
        # the shards, and the output with the folder that it is packed from
        needed = 3 * embedding_bytes(store.shape[0], network.config.hidden_size)
        require_space(work, needed, what="the embeddings")
        for start, stop in plan["shards"]:
            shards.append(work / plan["key"] / f"{start}-{stop}{SUFFIX}")
            if _is_whole(shards[-1]):
                advance(stop - start, saved=True)
                continue
            run_shard(
                network,
                store,
                plan,
                (start, stop),
                shards[-1],
                runtime,
                batch_size,
                advance,
                block_cells=block_cells,
            )
    return shards


def _is_whole(path: Path) -> bool:
    """Whether a shard of an earlier run is there as it was written; a damaged one is made again."""
    try:
        verify(path)
    except InputError as error:
        if path.exists():
            log.warning("saved work is not used: %s", error)
        return False
    return True


def _write_shard(shard: Block, output: Path, provenance: dict) -> None:
    """Write the shard's store; it is read back and compared before it gets its name."""
    if shard.left_out:
        log.warning(
            "left out %d cells without a count in the model's genes: %s",
            len(shard.left_out),
            printable(", ".join(shard.left_out[:5])),
        )
        provenance = {**provenance, "left_out": shard.left_out}

    def require_written(path: Path) -> None:
        written = read_store(path)
        same = np.array_equal(written.obsm[EMBEDDING], shard.vectors)
        if not (same and written.obs_names.equals(shard.names)):
            what = f"{output.parent} gives back other bytes than were written there"
            raise MachineError("E_STORE_DAMAGED", what, fix="check that disk, then run it again")

    table = ad.AnnData(obs=pd.DataFrame(index=shard.names), obsm={EMBEDDING: shard.vectors})
    write_store(table, output, provenance=provenance, overwrite=True, check=require_written)


def _provenance(plan: dict, runtime: Runtime) -> dict:
    """What goes into a store of embeddings: no time, host or path."""
    kept = ("run_key", "model", "genes_sha256", "counts_digest", "options")
    return {
        "stage": "embed",
        "revision": REVISION["embed"],
        "version": VERSION,
        **{name: plan[name] for name in kept},
        "resolved": asdict(runtime),
    }

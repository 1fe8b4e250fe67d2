"""Embedding in shards: one range of rows at a time; :mod:`aidocell.gathering` joins them.

Cells are independent, so a sample is cut into ranges of rows as :mod:`aidocell.planning` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from aidocell.embedding import Runtime, embed_rows, resolve_runtime
from aidocell.errors import InputError, printable
from aidocell.model import AidoCell, load_model
from aidocell.planning import read_plan
from aidocell.progress import progress
from aidocell.provenance import REVISION, VERSION, require_same
from aidocell.store import EMBEDDING, StoreReader, write_store

__all__ = ["embed_shard", "input_of", "planned_counts", "run_shard"]

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
) -> None:
    """Embed the cells of one shard into a store of its own.

    Parameters
    ----------
    counts, plan
        The sample's ``counts.zarr.zip`` and ``shards.json``.
    rows
        Row range as in the shard's file name, ``"<start>-<stop>"``.
    model
        The checkpoint that the plan was made for.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: counts or checkpoint are not those of the plan.
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
            network, store, planned, (start, stop), Path(output), runtime, batch_size, advance
        )


def run_shard(
    network: AidoCell,
    store: StoreReader,
    plan: dict,
    rows: tuple[int, int],
    output: Path,
    runtime: Runtime,
    batch_size: int | str,
    advance: Callable[[int], None],
) -> None:
    """Embed the planned rows ``(start, stop)`` of opened counts with a loaded model."""
    counts = store.rows(*rows)
    names = store.obs.index[slice(*rows)]
    has_counts = counts.getnnz(axis=1) > 0
    batches = embed_rows(
        network,
        counts[has_counts],
        measured=store.var["measured"].to_numpy(bool),
        pooling=plan["options"]["pooling"],
        runtime=runtime,
        batch_size=batch_size,
        advance=advance,
    )
    began = time.monotonic()
    vectors = np.concatenate([np.empty((0, network.config.hidden_size), np.float32), *batches])
    if not np.isfinite(vectors).all():
        raise InputError(
            "E_MODEL_CONFIG",
            f"checkpoint {network.checkpoint.id} gives NaN or infinity for rows {rows[0]}-{rows[1]}",
            fix="use --precision float32, or another checkpoint",
        )
    log.info("rows %d-%d: %.3g cells/s", *rows, len(vectors) / (time.monotonic() - began))
    left_out = names[~has_counts].tolist()
    provenance = {**_provenance(plan, runtime, left_out), **input_of(store.provenance)}
    shard = ad.AnnData(obs=pd.DataFrame(index=names[has_counts]), obsm={EMBEDDING: vectors})
    write_store(shard, output, provenance=provenance, overwrite=True)


def _provenance(plan: dict, runtime: Runtime, left_out: list[str]) -> dict:
    """What goes into a store of embeddings: no time, host or path."""
    if left_out:
        log.warning(
            "left out %d cells without a count in the model's genes: %s",
            len(left_out),
            printable(", ".join(left_out[:5])),
        )
    kept = ("run_key", "model", "genes_sha256", "counts_digest", "options")
    return {
        "stage": "embed",
        "revision": REVISION["embed"],
        "version": VERSION,
        **{name: plan[name] for name in kept},
        "resolved": asdict(runtime),
        **({"left_out": left_out} if left_out else {}),
    }


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

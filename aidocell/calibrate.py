"""How fast this very device embeds: the figure for ``embed.cells_per_second``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from aidocell.embedding import Embedder, resolve_runtime
from aidocell.model import load_model

__all__ = ["measure_rate"]

_SECONDS = 20  # measured at least so long, in whole batches
_GENES_PER_CELL = 2000


def measure_rate(config: Mapping[str, Any], *, seconds: float = _SECONDS) -> dict[str, Any]:
    """Embed made-up cells of full size with the configuration's model and options.

    Parameters
    ----------
    config
        A checked configuration.
    seconds
        The least time to measure; one batch is embedded before, to warm up.

    Returns
    -------
    dict
        ``cells_per_second``, and what it was measured with: ``device``, ``precision``,
        ``attention``, ``batch_size``, ``cells``.
    """
    embed = config["embed"]
    runtime = resolve_runtime(
        **{name: embed[name] for name in ("device", "precision", "attention")}
    )
    network = load_model(
        config["model"],
        revision=config["model_revision"],
        accept_license=config["accept_model_license"],
    )
    embedder = Embedder(
        network,
        measured=np.ones(network.config.n_genes, bool),
        pooling=embed["pooling"],
        runtime=runtime,
        batch_size=embed["batch_size"],
    )
    _embed_batch(embedder)
    began, cells = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds or not cells:
        cells += _embed_batch(embedder)
    return {
        "cells_per_second": float(f"{cells / max(passed, 1e-9):.3g}"),
        "device": runtime.device,
        "precision": runtime.precision,
        "attention": runtime.attention,
        "batch_size": embedder.batch_size,
        "cells": cells,
    }


def _embed_batch(embedder: Embedder) -> int:
    cells, genes = embedder.batch_size, embedder.model.config.n_genes
    share = min(1.0, _GENES_PER_CELL / genes)
    counts = sparse.random(
        cells, genes, share, format="csr", random_state=np.random.default_rng(0), dtype=np.float64
    )
    counts.data = np.ceil(5 * counts.data)
    return sum(len(batch) for batch in embedder.batches(counts.astype(np.int32)))

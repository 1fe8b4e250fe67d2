"""One representation of cells, clustered without training, with one seed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell.benchmark.config import Run
from aidocell.benchmark.data import WHOLE, store_of
from aidocell.benchmark.sources import Sources
from aidocell.evaluate.clustering import leiden_to_number, scaled_components, silhouette
from aidocell.tables import write_table
from aidocell.tasks.labelled import Labelled, choose
from aidocell.tasks.stored import stored_counts, stored_embeddings

__all__ = ["CLUSTERS", "cluster_dataset"]

CLUSTERS = "clusters.parquet"
_DRAW_SEED = 0  # the same cells for every seed and representation


def cluster_dataset(
    folder: Path,
    run: Run,
    sources: Sources,
    *,
    label: str,
    seed: int,
    neighbours: int = 15,
    max_cells: int | None = None,
) -> dict[str, Any]:
    """Find as many clusters as there are labels.

    Embeddings are scaled and reduced to components; ``pca`` takes components of the log-normalised
    most variable genes; ``scvi`` its latent space. Neighbours and Leiden are the same for all.

    Parameters
    ----------
    folder
        Gets ``clusters.parquet`` (cell, label, cluster).
    seed
        Of the components, scVI, the neighbours and Leiden.
    max_cells
        Where there are more cells, that many are drawn, every label by its share.

    Returns
    -------
    about
        Entries of ``run.json``: silhouette, clusters, times, notes, device.

    Raises
    ------
    Unavailable
        The representation cannot be made here, or of these cells.
    """
    cells = _labelled(sources, label, max_cells)
    wanted = len(cells.classes)
    began = time.perf_counter()
    representation = _representation(run.method, cells, seed)
    found = leiden_to_number(representation, wanted, neighbours=neighbours, seed=seed)
    seconds = time.perf_counter() - began
    table = pd.DataFrame({"cell": cells.cells, "label": cells.labels, "cluster": found.labels})
    write_table(table, folder / CLUSTERS, about={"run": run.name, "seed": seed})
    notes = []
    if found.number != wanted:
        notes.append(f"no resolution gives {wanted} clusters; {found.number} are the nearest")
    made_with = sources.made_with
    return {
        "silhouette": _or_none(silhouette(representation, cells.labels, seed=seed)),
        "resolution": found.resolution,
        "clusters": found.number,
        "classes": wanted,
        "seconds": seconds,
        "embedding_seconds": sum(made_with["seconds"].values()),
        "test_cells": len(cells.cells),
        "notes": notes,
        "device": made_with["device"],
        "gpus": int(made_with["gpu"]),
    }


def _labelled(sources: Sources, label: str, max_cells: int | None) -> Labelled:
    """The labelled cells, sorted by name; of counts those that have any, as embeddings do."""
    embedded = sources.embeddings is not None
    read = stored_embeddings if embedded else stored_counts
    stored = read([store_of(sources.embeddings if embedded else sources.data, WHOLE)], None)
    labels = stored.column(label, "label")
    if not embedded:
        filled = np.concatenate([np.asarray(b.sum(axis=1)).ravel() > 0 for b in stored.blocks()])
        labels = labels.astype(object).where(filled, None)
    chosen = choose(labels, stored.names, max_cells=max_cells, seed=_DRAW_SEED)
    if embedded:
        return chosen.with_matrices(embeddings=stored.vectors(chosen.rows))
    return chosen.with_matrices(counts=stored.counts(chosen.rows))


def _representation(method: str, cells: Labelled, seed: int) -> np.ndarray:
    if method == "embedding":
        return scaled_components(cells.embeddings, seed=seed)
    if method == "scvi":
        from aidocell.baselines.scanvi import scvi_latent

        return scvi_latent(cells.counts, seed=seed)
    return _gene_components(cells, seed)


def _gene_components(cells: Labelled, seed: int) -> np.ndarray:
    import scanpy

    from aidocell.baselines.genes import COMPONENTS
    from aidocell.baselines.packages import normalised
    from aidocell.baselines.variable import variable_genes

    values = normalised(cells.counts, np.arange(cells.counts.shape[1]))
    values = values[:, variable_genes(values)].copy()
    components = max(1, min(COMPONENTS, min(values.shape) - 1))
    scanpy.pp.pca(values, n_comps=components, random_state=seed)
    return values.obsm["X_pca"]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value

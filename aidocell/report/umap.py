"""A map of all samples' embeddings: two coordinates a cell, made once and only drawn later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from aidocell.seal import read_seal
from aidocell.store import StoreReader, verify
from aidocell.tables import write_table

__all__ = ["make_map", "umap_coordinates"]

_WIDEST = 50
_NEIGHBOURS = 15


def make_map(
    stores: Mapping[str, str | Path], output: str | Path, *, max_cells: int = 20_000, seed: int = 0
) -> None:
    """Write ``map.parquet``: columns ``cell`` (``<sample>:<barcode>``), ``sample``, ``x``, ``y``.

    Parameters
    ----------
    stores
        ``embeddings.zarr.zip`` of each sample, by the sample's name. Read one after the other.
    output
        The Parquet file. What it says about itself (:func:`aidocell.tables.about_table`): how many
        cells there were in all (``cells``), by which ``method`` and ``seed`` they were placed, and
        the seal of each sample's ``embeddings``.
    max_cells
        Most cells on the map; where there are more, that many are drawn by lot.
    seed
        Of the lot and of UMAP.
    """
    sizes = [_size(path) for path in stores.values()]
    total = sum(sizes)
    offsets = np.cumsum([0, *sizes])
    chosen = _lot(total, max_cells, seed)
    rows = np.split(chosen, np.searchsorted(chosen, offsets[1:-1]))
    parts = [
        _read(name, path, rows[place] - offsets[place])
        for place, (name, path) in enumerate(stores.items())
    ]
    table = pd.concat([cells for cells, _ in parts], ignore_index=True)
    coordinates, method = umap_coordinates(np.concatenate([v for _, v in parts]), seed=seed)
    table = table.assign(x=coordinates[:, 0], y=coordinates[:, 1])
    seals = {name: read_seal(Path(path)) for name, path in stores.items()}
    about = {"cells": total, "method": method, "seed": seed, "embeddings": seals}
    write_table(table, output, about=about)


def umap_coordinates(embeddings: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, str]:
    """Place cells in the plane, the same each time.

    Parameters
    ----------
    embeddings
        Shape ``(n_cells, width)``; each column is standardised, then at most 50 principal
        components enter UMAP.
    seed
        Random state of UMAP, which runs on one thread.

    Returns
    -------
    coordinates
        float32, shape ``(n_cells, 2)``; axes have no unit.
    method
        ``umap``, or ``pca`` where there are too few cells for neighbourhoods, or all are equal.
    """
    with threadpool_limits(1):  # sums in another order would move every cell
        components = _components(np.asarray(embeddings, dtype=np.float64))
        if len(components) < _NEIGHBOURS or not components.any():
            return components[:, :2].astype(np.float32), "pca"
        return _umap(components, seed).astype(np.float32), "umap"


def _components(values: np.ndarray) -> np.ndarray:
    """Principal components, shape (n_cells, 2 to 50); missing ones are zero."""
    scaled = StandardScaler().fit_transform(values)
    if not scaled.any():  # one cell, or all are equal
        return np.zeros((len(values), 2))
    n_components = min(_WIDEST, *values.shape)
    solver = "covariance_eigh" if len(values) > values.shape[1] else "full"
    components = PCA(n_components, svd_solver=solver).fit_transform(scaled)
    return np.pad(components, ((0, 0), (0, max(0, 2 - n_components))))


def _umap(components: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP  # compiles on import, so only where it is needed

    return UMAP(
        n_neighbors=min(_NEIGHBOURS, len(components) - 1),
        min_dist=0.3,
        init="pca",
        random_state=seed,
        n_jobs=1,
    ).fit_transform(components)


def _size(path: str | Path) -> int:
    with StoreReader(path) as store:
        return store.shape[0]


def _read(name: str, path: str | Path, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Names and embeddings of the drawn rows; no others are held in memory."""
    verify(path)
    with StoreReader(path) as store:
        drawn = np.zeros(store.shape[0], bool)
        drawn[rows] = True
        names = store.table(drawn, columns=[]).index.astype(str)
        embeddings = np.concatenate([np.empty((0, store.width), np.float32), *store.vectors(drawn)])
    return pd.DataFrame({"cell": f"{name}:" + names, "sample": name}), embeddings


def _lot(total: int, most: int, seed: int) -> np.ndarray:
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, size=most, replace=False))

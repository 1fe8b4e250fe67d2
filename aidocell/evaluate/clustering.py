"""Clusters of cells held against their labels: Leiden at the resolution that gives as many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from aidocell.evaluate.metrics import DRAWS, interval

__all__ = [
    "AGREEMENT",
    "Clustering",
    "agreement",
    "leiden_to_number",
    "scaled_components",
    "silhouette",
]

AGREEMENT = {"ari": adjusted_rand_score, "nmi": normalized_mutual_info_score}
COMPONENTS = 50
_LOWEST, _HIGHEST = 1e-3, 1e3  # resolutions
_STEPS = 30
_MOST_CELLS = 10_000  # whose distances to all others a silhouette takes


@dataclass(frozen=True)
class Clustering:
    """Clusters of cells.

    Attributes
    ----------
    labels
        Cluster of each cell, shape ``(cells,)``; 0 is the largest.
    resolution
        At which Leiden found them.
    number
        How many there are; it may be another than was asked for, where no resolution gives that.
    """

    labels: np.ndarray
    resolution: float
    number: int


def scaled_components(values: np.ndarray, *, seed: int) -> np.ndarray:
    """Principal components of columns that were brought to mean 0 and variance 1.

    Parameters
    ----------
    values
        Embeddings, shape ``(cells, width)``.

    Returns
    -------
    components
        Shape ``(cells, n)``: 50, or one fewer than the smaller side; float32.
    """
    import scanpy
    from anndata import AnnData

    cells = AnnData(np.asarray(values, dtype=np.float32))
    scanpy.pp.scale(cells)
    scanpy.pp.pca(cells, n_comps=_components(cells.shape), random_state=seed)
    return cells.obsm["X_pca"]


def _components(shape: tuple[int, int]) -> int:
    return max(1, min(COMPONENTS, min(shape) - 1))


def leiden_to_number(
    representation: np.ndarray, number: int, *, neighbours: int = 15, seed: int = 42
) -> Clustering:
    """Cluster by Leiden on nearest neighbours, at the resolution that gives `number` clusters.

    The resolution is bisected on a logarithmic scale. The number of clusters does not rise with
    it at every step, so that none may hit: then it is the nearest that was met.

    Parameters
    ----------
    representation
        Shape ``(cells, components)``, in an order that does not depend on the file's.
    """
    import scanpy
    from anndata import AnnData

    cells = AnnData(obsm={"X": np.asarray(representation, dtype=np.float32)})
    at_most = max(2, min(neighbours, len(representation) - 1))
    scanpy.pp.neighbors(cells, n_neighbors=at_most, use_rep="X", random_state=seed)
    best, low, high = None, np.log(_LOWEST), np.log(_HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = _leiden(cells, float(np.exp(middle)), seed)
        if best is None or abs(found.number - number) < abs(best.number - number):
            best = found
        if found.number == number:
            break
        low, high = (middle, high) if found.number < number else (low, middle)
    return best


def _leiden(cells: object, resolution: float, seed: int) -> Clustering:
    import scanpy

    scanpy.tl.leiden(
        cells,
        resolution=resolution,
        flavor="igraph",
        directed=False,
        n_iterations=2,
        random_state=seed,
    )
    labels = cells.obs["leiden"].astype(int).to_numpy()
    return Clustering(labels, resolution, len(np.unique(labels)))


def agreement(
    true: np.ndarray, clusters: np.ndarray, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Adjusted Rand index and normalised mutual information, as means over runs.

    Parameters
    ----------
    true
        Shape ``(cells,)``.
    clusters
        Of each run, shape ``(cells, runs)``.

    Returns
    -------
    table
        Columns ``metric``, ``value``, ``low``, ``high`` (draws of cells with the clusters of all
        runs, which stay as they are) and ``spread``, the standard deviation between the runs.
    """
    true, clusters = np.unique(true, return_inverse=True)[1], np.asarray(clusters)
    values = _agreements(true, clusters)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        rows = rng.integers(0, len(true), len(true))
        drawn.append(_agreements(true[rows], clusters[rows]).mean())
    low, high = interval(pd.DataFrame(drawn).to_numpy())
    table = pd.DataFrame({"metric": values.columns, "value": values.mean().to_numpy()})
    return table.assign(low=low, high=high, spread=values.std().to_numpy())


def _agreements(true: np.ndarray, clusters: np.ndarray) -> pd.DataFrame:
    """A run a row, a metric a column."""
    return pd.DataFrame(
        {name: [score(true, run) for run in clusters.T] for name, score in AGREEMENT.items()}
    )


def silhouette(
    representation: np.ndarray | sparse.spmatrix, true: np.ndarray, *, seed: int
) -> float:
    """Mean silhouette of the labels, by Euclidean distance; of 10,000 cells drawn if there are more."""
    rows = np.arange(len(true))
    if len(rows) > _MOST_CELLS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), _MOST_CELLS, replace=False))
    if not 1 < len(np.unique(true[rows])) < len(rows):
        return float("nan")
    return float(silhouette_score(representation[rows], true[rows]))

"""scanpy's ingest: neighbours among the training cells, in components of the training cells.

log1p of counts per 10,000, the 2,000 most variable genes, 50 principal components, 15 neighbours:
scanpy's defaults, all fitted on the training cells, and then ``scanpy.tl.ingest``'s search among
them. Called by hand, ingest takes off from new cells the mean of those very cells, so that a cell's
label depends on which others are labelled with it. Here the mean of the training cells is taken off
from both before scanpy sees them (with components that centre no more); the other test cells are
never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from aidocell.baselines.genes import COMPONENTS
from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import borrowed, normalised, require_cells, swapped
from aidocell.baselines.variable import variable_genes

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Fitted", "fit", "predict_proba"]

NEIGHBOURS = 15  # scanpy's default
CELLS_AT_ONCE = 10_000
LABEL = "label"


@dataclass(frozen=True)
class Fitted:
    """Training cells with components and neighbours, and what was taken off from them."""

    cells: AnnData
    columns: np.ndarray
    mean: np.ndarray
    seed: int
    classes_: np.ndarray


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    The cells are sorted first: the search for neighbours begins where the seed says.
    """
    require_cells(y, 1)
    order = canonical_order(X, y)
    with borrowed("scanpy", seed=seed) as scanpy, _one_thread():
        cells = _normalised(X[order])
        columns = variable_genes(cells)
        mean = np.asarray(cells.X[:, columns].mean(axis=0)).ravel()
        cells = _centred(cells, columns, mean)
        cells.obs[LABEL] = np.asarray(y)[order]
        cells.obs[LABEL] = cells.obs[LABEL].astype("category")
        components = max(1, min(COMPONENTS, min(cells.shape) - 1))
        neighbours = min(NEIGHBOURS, len(cells))
        scanpy.pp.pca(cells, n_comps=components, zero_center=False, random_state=seed)
        scanpy.pp.neighbors(cells, neighbours, n_pcs=components, random_state=seed)
    return Fitted(cells, columns, mean, seed, np.unique(np.asarray(y)))


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Shares of the neighbours that ingest finds, shape ``(cells, classes)``.

    In the order of ``fitted.classes_``; the first of the largest is ingest's own label.
    """
    with borrowed("scanpy", seed=fitted.seed) as scanpy, _one_thread():
        with _one_search_tree():
            mapping = scanpy.tl.Ingest(fitted.cells)
        starts = range(0, X.shape[0], CELLS_AT_ONCE)
        parts = [_shares(mapping, fitted, X[at : at + CELLS_AT_ONCE]) for at in starts]
    return np.concatenate([np.zeros((0, len(fitted.classes_))), *parts])


def _shares(mapping, fitted: Fitted, counts: sparse.csr_matrix) -> np.ndarray:
    mapping.fit(_centred(_normalised(counts), fitted.columns, fitted.mean))
    mapping.neighbors(random_state=fitted.seed)
    codes = fitted.cells.obs[LABEL].cat.codes.to_numpy()[mapping._indices]
    return (codes[:, :, None] == np.arange(len(fitted.classes_))).mean(axis=1)


def _normalised(counts: sparse.csr_matrix) -> AnnData:
    return normalised(counts, np.arange(counts.shape[1]))


def _centred(cells: AnnData, columns: np.ndarray, mean: np.ndarray) -> AnnData:
    centred = cells[:, columns].copy()
    centred.X = centred.X.toarray() - mean
    return centred


@contextmanager
def _one_thread() -> Iterator[None]:
    """Numba's threads race for neighbours; with one, the same seed finds the same."""
    import numba

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)


def _one_search_tree() -> AbstractContextManager[None]:
    """scanpy 1.11 asks an index for its number of search trees, which pynndescent 0.7 left empty.

    Before, it was one.
    """
    import pynndescent

    return swapped(pynndescent, NNDescent=partial(pynndescent.NNDescent, n_search_trees=1))

"""scanpy's ingest: neighbours among the training cells, in components of the training cells.

log1p of counts per 10,000, the 2,000 most variable genes, 50 principal components, 15 neighbours:
scanpy's defaults and functions, all fitted on the training cells, and the label that most
neighbours have, as ``scanpy.tl.ingest`` does. Called by hand, ingest differs in two things. It
takes off from new cells the mean of those very cells, so that a cell's label depends on which others
are labelled with it; here it is the mean of the training cells. And it looks for neighbours by an
approximate search that begins at random, finds nine in ten where new cells lie apart, and is slow
to compile; here all pairs are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from aidocell.baselines.genes import COMPONENTS
from aidocell.baselines.knn import new_neighbours
from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import borrowed, normalised, require_cells
from aidocell.baselines.variable import variable_genes

if TYPE_CHECKING:
    from anndata import AnnData
    from sklearn.neighbors import KNeighborsClassifier

__all__ = ["Fitted", "fit", "predict_proba"]

NEIGHBOURS = 15  # scanpy's default
CELLS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Fitted:
    """The genes, their means and loadings in the training cells, and these in components."""

    columns: np.ndarray
    mean: np.ndarray
    loadings: np.ndarray
    machine: KNeighborsClassifier

    @property
    def classes_(self) -> np.ndarray:
        """In the order of the probabilities."""
        return self.machine.classes_

    def components(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Shape ``(cells, components)``, float64."""
        logged = _normalised(counts).X[:, self.columns].toarray()
        return (logged - self.mean) @ self.loadings


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    The cells are sorted first, so that of several equally far away the same are taken.
    """
    require_cells(y, 1)
    order = canonical_order(X, y)
    X, y = X[order], np.asarray(y)[order]
    with borrowed("scanpy", seed=seed) as scanpy:
        cells = _normalised(X)
        columns = variable_genes(cells)
        cells = cells[:, columns].copy()
        number = max(1, min(COMPONENTS, min(cells.shape) - 1))
        scanpy.pp.pca(cells, n_comps=number, svd_solver="arpack", random_state=seed)
    mean = np.asarray(cells.X.mean(axis=0, dtype=np.float64)).ravel()
    machine = new_neighbours(len(y), NEIGHBOURS)
    fitted = Fitted(columns, mean, cells.varm["PCs"].astype(np.float64), machine)
    machine.fit(fitted.components(X), y)
    return fitted


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Shares of the neighbours, shape ``(cells, classes)``.

    In the order of ``fitted.classes_``; the first of the largest is ingest's own label.
    """
    parts = [np.zeros((0, len(fitted.classes_)))]
    with borrowed("scanpy", seed=0):
        for start in range(0, X.shape[0], CELLS_AT_ONCE):
            rows = fitted.components(X[start : start + CELLS_AT_ONCE])
            parts.append(fitted.machine.predict_proba(rows))
    return np.concatenate(parts)


def _normalised(counts: sparse.csr_matrix) -> AnnData:
    return normalised(counts, np.arange(counts.shape[1]))

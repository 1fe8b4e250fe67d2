"""scANVI: a variational autoencoder of the counts (scVI), then one that knows the labels.

scvi-tools at its defaults (one hidden layer of 128, ten latent dimensions, nine tenths of the
training cells in batches of 128; scVI for 400 epochs, or fewer above 20,000 cells by the package's
rule, then scANVI for ten or fewer), on the raw counts of the 2,000 most variable genes of the
training cells, without a batch, on the CPU. Ten epochs of a few hundred cells are a few dozen steps,
in which its classifier hardly begins to learn; here it makes at least 500 steps, which from some
6,000 cells on the ten epochs are. New cells pass the trained encoder and classifier as
they are, with the mean of their latent distribution; nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from aidocell.baselines import Unavailable
from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import borrowed, normalised, one_torch_thread, require_cells
from aidocell.baselines.variable import variable_genes

if TYPE_CHECKING:
    from anndata import AnnData
    from scvi.model import SCANVI

__all__ = ["Fitted", "fit", "predict_proba", "scvi_latent"]

MOST_EPOCHS = 400  # the package's, as is the number of cells above which there are fewer
LEAST_STEPS = 500  # of scANVI
TRAINING_SHARE = 0.9
BATCH = 128
LOGGERS = ["scvi", "lightning", "lightning.pytorch", "lightning.fabric"]
LABEL, UNLABELLED = "label", "unlabelled"


@dataclass(frozen=True)
class Fitted:
    """The trained network, and the columns of its genes."""

    model: SCANVI
    columns: np.ndarray
    classes_: np.ndarray


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    The cells are sorted first, so that their order does not decide who shares a batch. Those
    without a count in the chosen genes are left out.
    """
    require_cells(y, 1)
    with _package(seed) as scvi:
        columns = variable_genes(normalised(X, np.arange(X.shape[1])))
        X, y = X[:, columns], np.asarray(y)
        filled = np.asarray(X.sum(axis=1)).ravel() > 0
        X, y = X[filled], y[filled]
        order = canonical_order(X, y)
        classes, codes = np.unique(y[order], return_inverse=True)
        cells = _cells(X[order], codes)
        scvi.model.SCVI.setup_anndata(cells, labels_key=LABEL)
        base = scvi.model.SCVI(cells)
        base.train(max_epochs=_epochs(len(cells)), **_training(len(cells)))
        model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category=UNLABELLED)
        model.train(max_epochs=_labelled_epochs(len(cells)), **_training(len(cells)))
    return Fitted(model, columns, classes)


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    names = [str(code) for code in range(len(fitted.classes_))]
    if not X.shape[0]:
        return np.zeros((0, len(names)))
    with _package(0):
        cells = _cells(X[:, fitted.columns], np.zeros(X.shape[0], dtype=np.int64))
        found = fitted.model.predict(cells, soft=True, batch_size=BATCH)
    shares = found[names].to_numpy(dtype=np.float64)
    return shares / shares.sum(axis=1, keepdims=True)


def scvi_latent(X: sparse.csr_matrix, *, seed: int) -> np.ndarray:
    """What scVI alone makes of cells that it is trained on, without labels, shape ``(cells, 10)``.

    The order of the cells decides who shares a batch: give them sorted.
    """
    with _package(seed) as scvi:
        columns = variable_genes(normalised(X, np.arange(X.shape[1])))
        empty = int((np.asarray(X[:, columns].sum(axis=1)).ravel() == 0).sum())
        if empty:
            raise Unavailable(f"{empty} cells have no count in the variable genes, as scVI needs")
        cells = _cells(X[:, columns], np.zeros(X.shape[0], dtype=np.int64))
        scvi.model.SCVI.setup_anndata(cells)
        model = scvi.model.SCVI(cells)
        model.train(max_epochs=_epochs(len(cells)), **_training(len(cells)))
        return model.get_latent_representation(cells, batch_size=BATCH)


def _cells(counts: sparse.csr_matrix, codes: np.ndarray) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    cells = AnnData(sparse.csr_matrix(counts, dtype=np.float32))
    cells.obs[LABEL] = pd.Categorical([str(code) for code in codes])
    return cells


def _epochs(cells: int) -> int:
    from scvi.model._utils import get_max_epochs_heuristic

    return get_max_epochs_heuristic(cells, epochs_cap=MOST_EPOCHS)


def _labelled_epochs(cells: int) -> int:
    """Of scANVI on top of scVI: the package's, or so many that there are enough steps."""
    own = min(10, max(2, round(_epochs(cells) / 3)))
    learned_from = ceil(cells * TRAINING_SHARE)
    return max(own, ceil(LEAST_STEPS / ceil(learned_from / _batch_size(learned_from))))


def _training(cells: int) -> dict[str, Any]:
    """How both networks are trained: on the CPU, without a word and without a file."""
    return {
        "accelerator": "cpu",
        "devices": 1,
        "train_size": TRAINING_SHARE,
        "batch_size": _batch_size(ceil(cells * TRAINING_SHARE)),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
    }


def _batch_size(cells: int) -> int:
    """128, or the next smaller number that leaves no batch of one cell, which has no variance."""
    return next(size for size in range(BATCH, 1, -1) if cells % size != 1)


@contextmanager
def _package(seed: int) -> Iterator[Any]:
    """scvi-tools, seeded, with its settings and those of torch put back afterwards."""
    import torch

    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with borrowed("scvi", seed=seed, loggers=LOGGERS) as scvi, one_torch_thread():
        own = scvi.settings._seed
        try:
            scvi.settings.seed = seed % 2**32
            yield scvi
        finally:
            scvi.settings._seed = own
            cudnn.deterministic, cudnn.benchmark = before

"""CellTypist, trained on the training cells: logistic regression on all scaled genes.

The calls, for whoever wants to repeat them (`cells`: an AnnData of raw counts in ``X``)::

    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    model = celltypist.train(cells[train], labels=y, n_jobs=1, random_state=seed)
    labels = celltypist.annotate(cells[test], model=model, majority_voting=False)

All else is at the package's defaults: every gene expressed in training (no feature selection),
z-scores cut at 10, C = 1, one type against the rest; at most 50,000 cells ``lbfgs``, which draws
nothing, and above them ``sag``, which draws by the seed. Cells without a count are left out of the
training; the package refuses matrices that begin with one. It holds the cells as a dense matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import log_expit, softmax

from aidocell.baselines.celltypist_model import LOGGERS, decide
from aidocell.baselines.packages import borrowed, normalised, require_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celltypist import Model

__all__ = ["Fitted", "fit", "predict_proba", "probabilities"]


@dataclass(frozen=True)
class Fitted:
    """A model of CellTypist and the genes that its cells have."""

    model: Model
    genes: Sequence[str]
    classes_: np.ndarray


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int, genes: Sequence[str]) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, their labels, and the symbols of the genes.

    The order of the cells changes the result by no more than the solver's tolerance.
    """
    require_cells(y, 1)
    filled = np.asarray(X.sum(axis=1)).ravel() > 0
    with borrowed("celltypist", seed=seed, loggers=LOGGERS) as celltypist:
        cells = normalised(X[filled], genes)
        model = celltypist.train(cells, labels=np.asarray(y)[filled], n_jobs=1, random_state=seed)
    return Fitted(model, genes, model.cell_types)


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    return probabilities(decide(fitted.model, X, fitted.genes))


def probabilities(decision: np.ndarray) -> np.ndarray:
    """The package's probability of each type, divided by their sum in each cell.

    Parameters
    ----------
    decision
        Decision values, shape ``(cells, types)``; the package's probability is their sigmoid.

    Returns
    -------
    shares
        Same shape. The largest is where the largest decision value is, also where the sigmoid of
        several rounds to one.
    """
    shares = softmax(log_expit(decision), axis=1)  # the logarithms, lest all round to zero
    cells, best = np.arange(len(shares)), decision.argmax(axis=1)
    shares[cells, best] = np.where(
        shares.argmax(axis=1) == best, shares[cells, best], np.nextafter(shares.max(axis=1), 2)
    )
    return shares

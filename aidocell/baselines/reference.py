"""An existing CellTypist model: the labels of the training cells are not learnt from.

The training cells only say which types are asked for: those of the model whose names occur among
the labels, letter by letter. The rest of the model's types are left out of each cell's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from aidocell.baselines import Unavailable
from aidocell.baselines.celltypist import probabilities
from aidocell.baselines.celltypist_model import LOGGERS, decide, read_model, require_genes
from aidocell.baselines.packages import borrowed
from aidocell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from celltypist import Model

__all__ = ["Fitted", "fit", "predict_proba"]


@dataclass(frozen=True)
class Fitted:
    """A model, the genes that its cells have, and where in it the classes stand."""

    model: Model
    genes: Sequence[str]
    columns: np.ndarray
    classes_: np.ndarray


def fit(
    X: sparse.csr_matrix,
    y: np.ndarray,
    *,
    seed: int,
    genes: Sequence[str],
    reference: str | Path | None,
) -> Fitted:
    """Find the classes of `y` in a model; X is not looked at, and nothing is random.

    Parameters
    ----------
    genes
        Symbol of each column of X.
    reference
        A model as :func:`aidocell.baselines.celltypist_model.read_model` takes it.
    """
    if reference is None:
        raise Unavailable("no reference model was named")
    with borrowed("celltypist", seed=seed, loggers=LOGGERS):
        model = read_model(reference)
    try:
        require_genes(model, genes)
    except InputError as error:
        raise Unavailable(error.what) from error
    classes = np.intersect1d(model.cell_types.astype(str), np.asarray(y).astype(str))
    if not classes.size:
        known = ", ".join(sorted(set(np.asarray(y).astype(str)))[:5])
        raise Unavailable(f"the reference knows none of the labels: {known}")
    columns = np.array([list(model.cell_types).index(name) for name in classes])
    return Fitted(model, genes, columns, classes.astype(object))


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities among the classes, shape ``(cells, classes)``, as ``fitted.classes_``."""
    return probabilities(decide(fitted.model, X, fitted.genes)[:, fitted.columns])

"""Fine-tune a checkpoint on the training cells, as :func:`aidocell.train.finetune.finetune` does.

A cell without a count in the model's genes has no input: in training it is left out, and every
class is equally probable for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aidocell.model import AidoCell
    from aidocell.train.finetuned import FineTuned
    from aidocell.train.options import Network

__all__ = ["fit", "predict_proba"]


def fit(
    X: sparse.csr_matrix,
    y: np.ndarray,
    *,
    seed: int,
    network: Network,
    genes: Sequence[str] | None = None,
    groups: np.ndarray | None = None,
    validation: tuple[sparse.csr_matrix, np.ndarray] | None = None,
) -> FineTuned:
    """Fit on raw counts over the model's genes, shape ``(cells, genes)``, and their labels.

    Parameters
    ----------
    network
        Which checkpoint, and how it is fine-tuned.
    genes, groups, validation
        As of :func:`aidocell.train.finetune.finetune`. Without `validation` some of the training
        cells are set apart to choose the epoch; test cells are never looked at.
    """
    from aidocell.train.finetune import finetune

    filled = _filled(X)
    if validation is not None:
        kept = _filled(validation[0])
        validation = (validation[0][kept], np.asarray(validation[1])[kept])
    return finetune(
        X[filled],
        np.asarray(y)[filled],
        model=_loaded(network.model, network.revision, network.accept_license),
        genes=genes,
        options=network.options,
        seed=seed,
        groups=None if groups is None else np.asarray(groups)[filled],
        validation=validation,
    )


def predict_proba(fitted: FineTuned, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    filled = _filled(X)
    probabilities = np.full((X.shape[0], len(fitted.classes_)), 1 / len(fitted.classes_))
    probabilities[filled] = fitted.predict_proba(X[filled])
    return probabilities


def _filled(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1)).ravel() > 0


@lru_cache(maxsize=1)
def _loaded(model: str, revision: str | None, accept_license: bool) -> AidoCell:
    """The checkpoint, read once for all folds; `finetune` leaves it as it is."""
    from aidocell.model import load_model

    return load_model(model, revision=revision, accept_license=accept_license)

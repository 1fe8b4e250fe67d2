"""A trained classifier and what it does to embeddings of the right origin."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.provenance import require_same
from aidocell.tasks.labelled import require_finite

__all__ = ["TRAINABLE", "Classifier", "apply", "embedding_of"]

log = logging.getLogger(__name__)

TRAINABLE = ("logistic", "knn")  # the methods that can be kept as arrays


@dataclass(frozen=True)
class Classifier:
    """A method fitted on labelled embeddings.

    Attributes
    ----------
    arrays
        What the method learned.
    content
        ``classifier.json`` without the two checksums: method, classes, support, the embedding it
        works on, its training data and, if it was judged, its metrics.
    """

    arrays: dict[str, np.ndarray]
    content: dict[str, Any]

    @property
    def method(self) -> str:
        """Key of :data:`aidocell.baselines.METHODS`."""
        return self.content["method"]

    @property
    def classes(self) -> np.ndarray:
        """Sorted names, in the order of the probabilities."""
        return np.array(self.content["classes"], dtype=object)

    @property
    def pooling(self) -> str:
        """Pooling of the embeddings that it labels."""
        return self.content["embedding"]["options"]["pooling"]

    @cached_property
    def fitted(self) -> Any:
        """The method ready to predict; ``ValueError`` where the arrays do not fit together."""
        return METHODS[self.method].module.from_arrays(self.arrays, self.classes)

    def predict_proba(self, embeddings: np.ndarray) -> np.ndarray:
        """Probabilities, shape ``(cells, classes)``, of embeddings ``(cells, hidden)``."""
        return METHODS[self.method].module.predict_proba(self.fitted, embeddings)


def apply(
    classifier: Classifier,
    embeddings: np.ndarray,
    cells: Sequence[str],
    *,
    provenance: Mapping[str, Any],
    where: str = "the embeddings",
) -> pd.DataFrame:
    """Label cells.

    Parameters
    ----------
    embeddings
        Shape ``(cells, hidden)``, of the checkpoint and pooling that the classifier knows.
    cells
        Their names.
    provenance
        Of the embeddings; another checkpoint, gene list or pooling is refused.
    where
        What to call the embeddings in an error.

    Returns
    -------
    table
        ``cell, predicted, probability``, then one ``p_<class>`` a class; rows as given.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``, ``E_NO_CELLS``, ``E_NOT_FINITE``.
    """
    require_same_embedding(classifier.content["embedding"], provenance, where=where)
    require_same("hidden size", len(classifier.arrays["mean"]), embeddings.shape[1], where=where)
    if not len(embeddings):
        raise InputError("E_NO_CELLS", f"{where} hold no cells", fix="give some")
    require_finite(embeddings, what=where)
    probabilities = classifier.predict_proba(embeddings)
    best = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "cell": [str(name) for name in cells],
            "predicted": classifier.classes[best],
            "probability": probabilities.max(axis=1),
        }
    )
    columns = [f"p_{name}" for name in classifier.classes]
    return pd.concat([table, pd.DataFrame(probabilities, columns=columns)], axis=1)


def embedding_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the provenance of embeddings that a classifier keeps."""
    names = ("model", "genes_sha256", "options", "resolved")
    return {name: provenance[name] for name in names if name in provenance}


def require_same_embedding(
    expected: Mapping[str, Any], found: Mapping[str, Any], *, where: str
) -> None:
    """Refuse embeddings of another checkpoint, gene list or pooling (``E_STORE_MISMATCH``).

    Another precision or attention backend changes embeddings in their last digits only: that is
    a warning.
    """
    options = found.get("options", {})
    pairs = {
        "checkpoint": (expected["model"]["sha256"], found.get("model", {}).get("sha256")),
        "gene list": (expected["genes_sha256"], found.get("genes_sha256")),
        "pooling": (expected["options"]["pooling"], options.get("pooling")),
    }
    for what, (theirs, ours) in pairs.items():
        require_same(what, theirs, ours, where=where)
    for name in ("precision", "attention"):
        theirs, ours = (p.get("resolved", p["options"]).get(name) for p in (expected, found))
        if theirs != ours:
            log.warning("%s: %s is %s, was %s in training", where, name, ours, theirs)

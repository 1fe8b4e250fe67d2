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
from aidocell.tasks.calibration import calibrated
from aidocell.tasks.judging import probability_columns
from aidocell.tasks.labelled import require_finite
from aidocell.tasks.similarity import distances, warn_if_far

__all__ = ["TRAINABLE", "Classifier", "apply", "embedding_of", "flag_unknown"]

log = logging.getLogger(__name__)

TRAINABLE = ("logistic", "knn", "mlp")  # the methods that can be kept as arrays


@dataclass(frozen=True)
class Classifier:
    """A method fitted on labelled embeddings.

    Attributes
    ----------
    arrays
        What the method learned, and of the training cells what distances are measured by.
    content
        ``classifier.json`` without the two checksums: method, classes, support, the embedding it
        works on, its training data and, if it was judged, its metrics, temperature, threshold and
        unit of distance.
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

    @property
    def threshold(self) -> float | None:
        """Probability below which a cell is unknown; None where none was chosen."""
        unknown = self.content["unknown"]
        return None if unknown is None else unknown["threshold"]

    @property
    def far_is_unknown(self) -> bool:
        """Whether cells beyond distance 1 are unknown too."""
        unknown = self.content["unknown"]
        return unknown is not None and unknown["far_is_unknown"]

    @cached_property
    def fitted(self) -> Any:
        """The method ready to predict; ``ValueError`` where the arrays do not fit together."""
        return METHODS[self.method].module.from_arrays(self.arrays, self.classes)

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """The method's own probabilities, not calibrated, shape ``(cells, classes)``."""
        return METHODS[self.method].module.predict_proba(self.fitted, embeddings)

    def predict_proba(self, embeddings: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, shape ``(cells, classes)``, of embeddings ``(cells, hidden)``."""
        return calibrated(self.scores(embeddings), self.content["calibration"])

    def label(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best class of each cell, and :meth:`predict_proba`."""
        scores = self.scores(embeddings)  # of two that calibration makes equal the larger is best
        probabilities = calibrated(scores, self.content["calibration"])
        return self.classes[scores.argmax(axis=1)], probabilities

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """Distance of each cell from its nearest class, in units; NaN where there is no unit."""
        similarity = self.content["similarity"]
        if similarity is None:
            return np.full(len(embeddings), np.nan)
        return distances(self.arrays, embeddings) / similarity["unit"]


def apply(
    classifier: Classifier,
    embeddings: np.ndarray,
    cells: Sequence[str],
    *,
    provenance: Mapping[str, Any],
    where: str = "the embeddings",
    unknown: bool = True,
    unknown_threshold: float | None = None,
    vote: bool = False,
    seed: int = 0,
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
    unknown, unknown_threshold
        As of :func:`flag_unknown`, where the classifier's own rule is `threshold` and `far`.
    vote
        Add the majority vote within neighbourhoods of these cells, by :mod:`aidocell.tasks.vote`.
    seed
        Of the neighbourhoods.

    Returns
    -------
    table
        ``cell, predicted, probability, unknown, distance``; ``ontology_id`` if the classifier
        has any; with `vote`, ``neighbourhood, voted``; then one ``p_<class>`` a class. Rows as
        given. ``attrs`` say which threshold was used and, with `vote`, how.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``, ``E_NO_CELLS``, ``E_NOT_FINITE``, ``E_CONFIG``.
    """
    require_same_embedding(classifier.content["embedding"], provenance, where=where)
    require_same("hidden size", len(classifier.arrays["mean"]), embeddings.shape[1], where=where)
    if not len(embeddings):
        raise InputError("E_NO_CELLS", f"{where} hold no cells", fix="give some")
    require_finite(embeddings, what=where)
    predicted, probabilities = classifier.label(embeddings)
    names = np.array([str(name) for name in cells], dtype=object)
    table = pd.DataFrame(
        {
            "cell": names,
            "predicted": predicted,
            "probability": probabilities.max(axis=1),
            "distance": classifier.distances(embeddings),
        }
    )
    warn_if_far(table["distance"], where)
    table = flag_unknown(
        table,
        threshold=classifier.threshold,
        far=classifier.far_is_unknown,
        unknown=unknown,
        unknown_threshold=unknown_threshold,
    )
    if classifier.content["ontology"]:
        known = classifier.content["ontology"]
        table["ontology_id"] = np.array([known.get(n) for n in predicted], dtype=object)
    if vote:
        _add_vote(table, embeddings, seed)
    whole = pd.concat([table, probability_columns(probabilities, classifier.classes)], axis=1)
    whole.attrs = table.attrs
    return whole


def flag_unknown(
    table: pd.DataFrame,
    *,
    threshold: float | None,
    far: bool,
    unknown: bool = True,
    unknown_threshold: float | None = None,
) -> pd.DataFrame:
    """Add ``unknown`` after ``probability``: which cells are below the threshold, or far.

    Parameters
    ----------
    table
        With ``probability`` and ``distance``.
    threshold, far
        The classifier's own rule: a probability, and whether cells beyond distance 1 are unknown
        too. With neither no cell is, and a line says so.
    unknown
        Whether there are unknown cells at all.
    unknown_threshold
        Between 0 and 1; replaces the rule, distances included.
    """
    if unknown_threshold is not None:
        threshold, far = unknown_threshold, False
    if threshold is not None and not 0 <= threshold <= 1:
        what = f"the threshold of unknown cells is {threshold:g}"
        raise InputError("E_CONFIG", what, fix="give a probability between 0 and 1")
    if not unknown:
        threshold, far = None, False
    elif threshold is None and not far:
        log.warning("no threshold was chosen in training: no cell is called unknown")
    unsure = table["probability"].to_numpy() < (threshold or 0.0)
    distant = far & (table["distance"].to_numpy() > 1)
    table = table.copy()
    table.insert(table.columns.get_loc("probability") + 1, "unknown", unsure | distant)
    table.attrs |= {"unknown_threshold": threshold, "far_is_unknown": far}
    if threshold is not None or far:
        log.info(
            "unknown: %d of %d cells, %d of them for their probability, %d for their distance",
            table["unknown"].sum(),
            len(table),
            unsure.sum(),
            distant.sum(),
        )
    return table


def _add_vote(table: pd.DataFrame, embeddings: np.ndarray, seed: int) -> None:
    from aidocell.tasks.vote import neighbourhoods, vote

    found, about = neighbourhoods(embeddings, table["cell"].to_numpy(), seed=seed)
    given = (table[name].to_numpy() for name in ("predicted", "probability", "unknown"))
    table["neighbourhood"], table["voted"] = found, vote(found, *given)
    changed = int((table["voted"] != table["predicted"]).sum())
    table.attrs["vote"] = about
    log.warning(
        "majority vote within %d neighbourhoods (Leiden, resolution %d): the column 'voted' "
        "differs from 'predicted' in %d of %d cells",
        len(np.unique(found)),
        about["resolution"],
        changed,
        len(table),
    )


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

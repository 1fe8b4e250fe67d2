"""How far cells lie from those that a classifier was trained on.

The distance is that to the nearest class: between a cell and the class's mean, in units of the
spread within classes (Mahalanobis, one covariance for all classes, shrunk as Ledoit and Wolf do).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from aidocell.tasks.heldout import HeldOut
from aidocell.tasks.labelled import Labelled

__all__ = [
    "FAR_SHARE",
    "PERCENTILE",
    "SCHEMA",
    "array_shapes",
    "distances",
    "in_units",
    "learn_similarity",
    "warn_if_far",
    "whitened_classes",
]

log = logging.getLogger(__name__)

PERCENTILE = 99  # of the cells held out; their distance is the unit
FAR_SHARE = 0.05  # of a query's cells beyond that distance, above which there is a warning
SCHEMA = {
    "type": "object",
    "required": ["unit", "median", "cells"],
    "properties": {
        "unit": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e30},
        "median": {"type": "number", "minimum": 0, "maximum": 1e30},
        "cells": {"type": "integer", "minimum": 0},
    },
}  # of what a classifier's folder says of its distances
_STEP = 8192  # cells at a time
_FLOOR = 1e-6  # least spread of a direction, as a part of the mean one


def learn_similarity(
    held: HeldOut, labelled: Labelled
) -> tuple[dict[str, np.ndarray], dict[str, Any], np.ndarray]:
    """What is needed to judge new cells, the unit of distance, and how far held-out cells lie.

    The unit is the 99th percentile of the distances of cells that were held out, each from the
    classes as the other folds' cells have them: a cell of the training data is closer than a new one.

    Returns
    -------
    arrays
        ``whitening``, shape ``(hidden, hidden)``, and ``centroids``, ``(classes, hidden)``.
    similarity
        ``unit``, ``median`` (in units) and ``cells``, how many were held out.
    distance
        Of the cells held out, in units, shape ``(cells held out,)``.
    """
    found = np.empty(len(held.rows))
    for number in np.unique(held.fold):
        apart = held.fold == number
        others = np.ones(len(labelled.labels), bool)
        others[held.rows[apart]] = False
        arrays = whitened_classes(labelled.embeddings[others], labelled.labels[others])
        found[apart] = distances(arrays, labelled.embeddings[held.rows[apart]])
    return whitened_classes(labelled.embeddings, labelled.labels), *in_units(found)


def in_units(found: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """What is recorded of the distances of held-out cells, and these in units."""
    unit = max(float(np.percentile(found, PERCENTILE)), np.finfo(np.float32).tiny)
    content = {"unit": unit, "median": float(np.median(found)) / unit, "cells": len(found)}
    return content, found / unit


def warn_if_far(distance: np.ndarray, where: str) -> None:
    """Say so where many cells of a query lie beyond distance 1."""
    far = int((distance > 1).sum())
    if far > FAR_SHARE * len(distance):
        log.warning(
            "%s: %d of %d cells (%.0f %%) lie farther from every class than %d %% of training "
            "cells that were held out: labels and probabilities of such cells say little",
            where,
            far,
            len(distance),
            100 * far / len(distance),
            PERCENTILE,
        )


def whitened_classes(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Means of classes in coordinates in which cells of one class spread by 1 in every direction."""
    X = embeddings.astype(np.float64)
    classes, codes = np.unique(labels, return_inverse=True)
    means = np.array([X[codes == code].mean(axis=0) for code in range(len(classes))])
    within = X - means[codes]
    scale = within.std(axis=0)
    scale[scale <= _FLOOR * (scale.mean() or 1.0)] = 1.0
    covariance = LedoitWolf(assume_centered=True).fit(within / scale).covariance_
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, _FLOOR * (values.mean() or 1.0))
    whitening = vectors / np.sqrt(values) / scale[:, None]
    return {"whitening": whitening, "centroids": means @ whitening}


def array_shapes(width: int, classes: int) -> dict[str, tuple[int, int]]:
    """Shapes of the arrays that distances need, for a reader that does not trust them."""
    return {"whitening": (width, width), "centroids": (classes, width)}


def distances(arrays: Mapping[str, np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    """Distance of each cell from its nearest class, shape ``(cells,)``; not yet in units."""
    parts = [np.zeros(0)]
    for start in range(0, len(embeddings), _STEP):
        placed = embeddings[start : start + _STEP].astype(np.float64) @ arrays["whitening"]
        parts.append(cdist(placed, arrays["centroids"]).min(axis=1))
    return np.concatenate(parts)

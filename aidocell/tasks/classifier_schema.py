"""What ``classifier.json`` and ``arrays.npz`` have to hold, for a reader that trusts neither."""

from __future__ import annotations

from typing import Any

import jsonschema

from aidocell.tasks.classifier import TRAINABLE
from aidocell.tasks.ontology import TERM
from aidocell.tasks.similarity import SCHEMA as SIMILARITY

__all__ = ["FORMAT", "arrays_of", "require_sense"]

FORMAT = 3
_ARRAYS = {
    "logistic": {"mean": "f", "scale": "f", "coef": "f", "intercept": "f"},
    "knn": {"mean": "f", "scale": "f", "cells": "f", "codes": "i"},
    "mlp": {
        "mean": "f",
        "scale": "f",
        "hidden_coef": "f",
        "hidden_intercept": "f",
        "coef": "f",
        "intercept": "f",
    },
}
_DISTANCE_ARRAYS = {"whitening": "f", "centroids": "f"}

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NUMBER = {"type": ["number", "null"]}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_PERHAPS = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1e30}
_FLOOR = {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}


def _object(**properties: Any) -> dict[str, Any]:
    """An object that has these keys; it may have others."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, schema]}


_AT_THRESHOLD = dict.fromkeys(
    ("threshold", "coverage", "flagged", "balanced_accuracy", "accuracy"), _SHARE
)
_AT_THRESHOLD["far_is_unknown"] = {"type": "boolean"}
_CURVE = {"type": "array", "items": _object(**_AT_THRESHOLD), "minItems": 1, "maxItems": 1_000}
_BY_CLASS = {
    "type": "array",
    "items": _object(
        **{"class": _TEXT, "coverage": _PERHAPS, "flagged": _PERHAPS, "far": _PERHAPS}
    ),
}
_SCHEMA = _object(
    **{
        "format": {"const": FORMAT},
        "method": {"enum": list(TRAINABLE)},
        "classes": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 2,
            "uniqueItems": True,
        },
        "support": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "embedding": {
            "type": "object",
            "required": ["model", "genes_sha256", "options"],
            "properties": {
                "model": {
                    "type": "object",
                    "required": ["id", "sha256"],
                    "properties": {"id": _TEXT, "sha256": _TEXT},
                },
                "genes_sha256": _TEXT,
                "options": {
                    "type": "object",
                    "required": ["pooling"],
                    "additionalProperties": _TEXT,
                },
                "resolved": {"type": "object", "additionalProperties": _TEXT},
            },
        },
        "training": {
            "type": "object",
            "required": ["label", "cells", "sha256", "seed"],
            "properties": {"label": _TEXT, "cells": _COUNT, "sha256": _HEX, "seed": _COUNT},
        },
        "metrics": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["method", "metric", "value", "low", "high"],
                "properties": {
                    "method": _TEXT,
                    "metric": _TEXT,
                    "value": _NUMBER,
                    "low": _NUMBER,
                    "high": _NUMBER,
                },
            },
        },
        "calibration": _or_null(
            _object(temperature=_POSITIVE, floor=_FLOOR, ece_before=_SHARE, ece_after=_PERHAPS)
        ),
        "unknown": _or_null(
            _object(
                **_AT_THRESHOLD,
                known_coverage=_SHARE,
                cells=_COUNT,
                curve=_CURVE,
                classes=_BY_CLASS,
            )
        ),
        "similarity": _or_null(SIMILARITY),
        "ontology": {"type": "object", "additionalProperties": _TEXT},
        "arrays_sha256": _HEX,
        "content_sha256": _HEX,
    }
)


def arrays_of(content: dict[str, Any]) -> dict[str, str]:
    """Names of the arrays beside this content, with the kind of their numbers."""
    distances = {} if content["similarity"] is None else _DISTANCE_ARRAYS
    return {**_ARRAYS[content["method"]], **distances}


def require_sense(content: dict[str, Any]) -> None:
    """Raise ``ValueError`` where the content is not that of a classifier."""
    for problem in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(content):
        raise ValueError(f"something is wrong in {'.'.join(map(str, problem.path)) or 'its keys'}")
    if len(content["support"]) != len(content["classes"]):
        raise ValueError("classes and support differ in length")
    if content["classes"] != sorted(content["classes"]):
        raise ValueError("the classes are not sorted")
    if not set(content["ontology"]) <= set(content["classes"]):
        raise ValueError("ontology names other classes")
    if not all(TERM.fullmatch(term) for term in content["ontology"].values()):
        raise ValueError("ontology holds something else than Cell Ontology ids")
    unknown = content["unknown"]
    if unknown is not None and [row["class"] for row in unknown["classes"]] != content["classes"]:
        raise ValueError("unknown names other classes")

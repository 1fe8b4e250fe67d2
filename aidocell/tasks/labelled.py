"""The labelled cells that a classifier is trained or judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.baselines import Method
from aidocell.errors import InputError
from aidocell.evaluate.labels import clean_labels, select_cells

__all__ = ["Labelled", "require_finite", "select"]


@dataclass(frozen=True)
class Labelled:
    """Labelled cells, sorted by name, so that nothing depends on their order in a file.

    Attributes
    ----------
    cells
        Unique names.
    labels
        Class of each cell.
    groups
        Donor or batch of each cell, or None.
    embeddings
        Shape ``(cells, hidden)``, or None.
    counts
        Raw counts, shape ``(cells, genes)``, CSR, or None.
    summary
        How many cells of each class, how many were left out, and why.
    warnings
        ``{"id", "text"}`` each.
    """

    cells: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    embeddings: np.ndarray | None
    counts: sparse.csr_matrix | None
    summary: dict[str, Any]
    warnings: list[dict[str, str]]

    @property
    def classes(self) -> np.ndarray:
        """Sorted names of the classes."""
        return np.unique(self.labels)

    def features(self, method: Method) -> np.ndarray | sparse.csr_matrix:
        """What `method` works on."""
        if method.needs == "labels":
            return self.embeddings if self.counts is None else self.counts
        return self.embeddings if method.needs == "embedding" else self.counts


def select(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    *,
    embeddings: np.ndarray | None = None,
    counts: sparse.csr_matrix | None = None,
    groups: Sequence[object] | pd.Series | None = None,
    folds: int | None = None,
    min_cells_per_class: int | None = None,
) -> Labelled:
    """Take the cells that have a label (and a group), sorted by name.

    Parameters and errors as of :func:`aidocell.tasks.annotate.evaluate`; `folds` is None where
    the cells are not to be split.
    """
    cells = np.array([str(name) for name in cells], dtype=object)
    _require_cells(cells, labels=labels, groups=groups, embeddings=embeddings, counts=counts)
    labels = clean_labels(labels)
    groups = None if groups is None else clean_labels(groups)
    selection = select_cells(
        labels, groups=groups, folds=folds, min_cells_per_class=min_cells_per_class
    )
    order = np.argsort(cells)
    order = order[selection.keep[order]]
    names, sizes = np.unique(labels[order], return_counts=True)
    summary = {
        "labels": dict(zip(names, sizes.tolist(), strict=True)),
        "cells": {
            "seen": len(cells),
            "used": len(order),
            "unlabelled": selection.unlabelled,
            "ungrouped": selection.ungrouped,
            "rare": selection.rare,
        },
        "classes_dropped": selection.dropped,
        "min_cells_per_class": min_cells_per_class,
        "groups": None if groups is None else len(np.unique(groups[order])),
    }
    return Labelled(
        cells=cells[order],
        labels=labels[order],
        groups=None if groups is None else groups[order],
        embeddings=None if embeddings is None else embeddings[order],
        counts=None if counts is None else sparse.csr_matrix(counts)[order],
        summary=summary,
        warnings=selection.warnings(),
    )


def _require_cells(cells: np.ndarray, *, labels: Any, groups: Any, **matrices: Any) -> None:
    repeated = pd.Series(cells, dtype=object).duplicated()
    if repeated.any() or (cells == "").any():
        first = ", ".join(cells[repeated][:3]) or "an empty one"
        raise InputError(
            "E_CELL_NAMES", f"cell names are empty or repeated: {first}", fix="make them unique"
        )
    lengths = {"labels": labels, "groups": groups}
    rows = {name: len(values) for name, values in lengths.items() if values is not None}
    rows |= {name: matrix.shape[0] for name, matrix in matrices.items() if matrix is not None}
    wrong = {name: n for name, n in rows.items() if n != len(cells)}
    if wrong:
        raise InputError(
            "E_MATRIX_SHAPE",
            f"{len(cells)} cell names, but {wrong} rows",
            fix="give one row for each cell",
        )
    for name, matrix in matrices.items():
        if matrix is not None:
            require_finite(matrix, what=name, nonnegative=name == "counts")


def require_finite(
    matrix: np.ndarray | sparse.spmatrix, *, what: str, nonnegative: bool = False
) -> None:
    """Refuse NaN and infinity (``E_NOT_FINITE``) and, where asked, values below zero."""
    values = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        raise InputError("E_NOT_FINITE", f"the {what} hold NaN or infinity", fix="make them anew")
    if nonnegative and values.size and values.min() < 0:
        raise InputError("E_NEGATIVE", f"the {what} are below zero", fix="give raw counts")

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
from aidocell.evaluate.draw import draw_cells
from aidocell.evaluate.labels import about_alike, clean_groups, clean_labels, select_cells

__all__ = [
    "MAX_CELLS",
    "Chosen",
    "Labelled",
    "choose",
    "require_finite",
    "require_other_group",
    "select",
]

MAX_CELLS = 50_000  # of a study that methods are fitted on and judged by


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


@dataclass(frozen=True)
class Chosen:
    """Labelled cells without their matrices, so that only the chosen rows need be read.

    Attributes
    ----------
    rows
        Their places among the cells that were given, sorted by the cells' names.
    cells, labels, groups, summary, warnings
        As of :class:`Labelled`.
    """

    rows: np.ndarray
    cells: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    summary: dict[str, Any]
    warnings: list[dict[str, str]]

    def with_matrices(
        self, *, embeddings: np.ndarray | None = None, counts: sparse.csr_matrix | None = None
    ) -> Labelled:
        """The cells with matrices whose rows are theirs, in their order."""
        given = {"embeddings": embeddings, "counts": counts}
        _require_rows(len(self.cells), **given)
        _require_values(**given)
        return Labelled(
            cells=self.cells,
            labels=self.labels,
            groups=self.groups,
            embeddings=embeddings,
            counts=counts,
            summary=self.summary,
            warnings=self.warnings,
        )


def choose(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    *,
    groups: Sequence[object] | pd.Series | None = None,
    folds: int | None = None,
    min_cells_per_class: int | None = None,
    max_cells: int | None = None,
    seed: int = 0,
    least_classes: int = 2,
) -> Chosen:
    """Take the cells that have a label (and a group), sorted by name.

    Parameters and errors as of :func:`aidocell.tasks.annotate.evaluate`; `folds` is None where
    the cells are not to be split; `least_classes` there have to be. Of more than `max_cells` that many are drawn, every class by its
    share; None takes all.
    """
    cells = np.array([str(name) for name in cells], dtype=object)
    _require_names(cells)
    _require_rows(len(cells), labels=labels, groups=groups)
    labels = clean_labels(labels)
    groups = None if groups is None else clean_groups(groups)
    selection = select_cells(
        labels,
        groups=groups,
        folds=folds,
        min_cells_per_class=min_cells_per_class,
        least_classes=least_classes,
    )
    order = np.argsort(cells)
    fit = order[selection.keep[order]]
    at_least = max(folds or 1, min_cells_per_class or 1)
    order = fit[draw_cells(labels[fit], max_cells or len(fit), seed=seed, at_least=at_least)]
    names, sizes = np.unique(labels[order], return_counts=True)
    summary = {
        "labels": dict(zip(names, sizes.tolist(), strict=True)),
        "cells": {
            "seen": len(cells),
            "used": len(order),
            "unlabelled": selection.unlabelled,
            "ungrouped": selection.ungrouped,
            "rare": selection.rare,
            "not_drawn": len(fit) - len(order),
        },
        "classes_dropped": selection.dropped,
        "min_cells_per_class": min_cells_per_class,
        "max_cells": max_cells,
        "groups": None if groups is None else len(np.unique(groups[order])),
    }
    return Chosen(
        rows=order,
        cells=cells[order],
        labels=labels[order],
        groups=None if groups is None else groups[order],
        summary=summary,
        warnings=[
            *selection.warnings(),
            *_drawn(len(order), len(fit)),
            *about_alike(names, "labels"),
            *about_alike(() if groups is None else groups[order]),
        ],
    )


def require_other_group(label: str, group: str | None) -> None:
    """Refuse the labels as groups, of which no fold could learn the class that it judges by."""
    if group == label:
        what = f"the column '{label}' is both label and group"
        raise InputError("E_CONFIG", what, fix="give the column of donors or batches as the group")


def _drawn(used: int, fit: int) -> list[dict[str, str]]:
    if used == fit:
        return []
    text = f"used {used:,} of {fit:,} labelled cells, drawn by class"
    return [{"id": "cells-drawn", "text": text}]


def select(
    labels: Sequence[object] | pd.Series,
    cells: Sequence[str],
    *,
    embeddings: np.ndarray | None = None,
    counts: sparse.csr_matrix | None = None,
    **conditions: Any,
) -> Labelled:
    """The cells that :func:`choose` takes under these conditions, with their rows of matrices."""
    _require_rows(len(cells), embeddings=embeddings, counts=counts)
    chosen = choose(labels, cells, **conditions)
    return chosen.with_matrices(
        embeddings=None if embeddings is None else embeddings[chosen.rows],
        counts=None if counts is None else sparse.csr_matrix(counts)[chosen.rows],
    )


def _require_names(cells: np.ndarray) -> None:
    repeated = pd.Series(cells, dtype=object).duplicated()
    if repeated.any() or (cells == "").any():
        first = ", ".join(cells[repeated][:3]) or "an empty one"
        raise InputError(
            "E_CELL_NAMES", f"cell names are empty or repeated: {first}", fix="make them unique"
        )


def _require_rows(cells: int, **given: Any) -> None:
    rows = {
        name: values.shape[0] if hasattr(values, "shape") else len(values)
        for name, values in given.items()
        if values is not None
    }
    wrong = {name: n for name, n in rows.items() if n != cells}
    if wrong:
        raise InputError(
            "E_MATRIX_SHAPE",
            f"{cells} cell names, but {wrong} rows",
            fix="give one row for each cell",
        )


def _require_values(**matrices: Any) -> None:
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

"""The cells of a fine-tuning: their order, those that judge epochs, and the batches of a step."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.errors import InputError
from aidocell.evaluate.splits import assign_folds

__all__ = ["Cells", "Part", "balanced_weights", "canonical_order", "cells_digest", "step_batches"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Cells and their classes.

    Attributes
    ----------
    counts
        Raw counts, shape ``(cells, genes)``, CSR.
    codes
        Class of each cell as its place among the classes.
    """

    counts: sparse.csr_matrix
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Cells:
    """What a fine-tuning works on; nothing in it depends on the order that cells came in.

    Attributes
    ----------
    classes
        Sorted names.
    train, validation
        Cells to learn from and cells that judge epochs; the second may be empty.
    digest
        Hex sha256 of all of it: what cannot be told apart by it gives equal weights.
    set_apart
        How the validation cells were chosen: ``given``, ``by cell``, ``by group`` or ``none``.
    """

    classes: np.ndarray
    train: Part
    validation: Part
    digest: str
    set_apart: str

    @classmethod
    def of(
        cls,
        counts: sparse.csr_matrix,
        labels: np.ndarray,
        *,
        groups: np.ndarray | None,
        validation: tuple[sparse.csr_matrix, np.ndarray] | None,
        share: float,
        seed: int,
    ) -> Cells:
        """Order the cells by their content and set some of them apart.

        Parameters
        ----------
        validation
            Counts and labels of cells that are set apart already; those of a class that is not
            learned are left out of it.
        share
            Of the cells to set apart where none are given.

        Raises
        ------
        InputError
            ``E_MATRIX_SHAPE``: labels, groups and counts differ in length; ``E_LABEL_CLASSES``:
            fewer than two classes.
        """
        labels, counts = np.asarray(labels, dtype=object), sparse.csr_matrix(counts)
        _require_rows(counts, labels, groups)
        rows, digest = canonical_order(counts, labels, groups)
        counts, labels = counts[rows], labels[rows]
        groups = None if groups is None else np.asarray(groups, dtype=object)[rows]
        classes = np.unique(labels)
        if len(classes) < 2:
            raise InputError(
                "E_LABEL_CLASSES",
                f"the labels have {len(classes)} class",
                fix="give labels of two classes or more",
            )
        everything = Part(counts, np.searchsorted(classes, labels))
        if validation is not None:
            judged, theirs = _given(*validation, classes)
            digest = hashlib.sha256(f"{digest} {theirs}".encode()).hexdigest()
            return cls(classes, everything, judged, digest, "given")
        apart, how = _set_apart(counts, labels, groups, share=share, seed=seed)
        parts = [Part(counts[rows], everything.codes[rows]) for rows in (~apart, apart)]
        return cls(classes, *parts, digest, how)


def canonical_order(
    counts: sparse.csr_matrix, labels: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, str]:
    """Order of the cells by a digest of counts, label and group, and the digest of all of them."""
    counts = sparse.csr_matrix(counts, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    beside = (
        labels if groups is None else [f"{a}\t{b}" for a, b in zip(labels, groups, strict=True)]
    )
    digests = []
    for row, (start, stop) in enumerate(zip(counts.indptr, counts.indptr[1:], strict=False)):
        digest = hashlib.sha256(str(beside[row]).encode())
        digest.update(counts.indices[start:stop].astype(np.int64).tobytes())
        digest.update(counts.data[start:stop].astype(np.float64).tobytes())
        digests.append(digest.hexdigest())
    order = np.argsort(digests, kind="stable")
    return order, cells_digest([digests[row] for row in order])


def cells_digest(parts: Sequence[str]) -> str:
    """Hex sha256 of texts, in order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def step_batches(
    cells: int, *, epoch: int, seed: int, batch_size: int, accumulate: int, devices: int
) -> list[list[np.ndarray]]:
    """The batches of each step of an epoch; a pure function of its arguments.

    Steps have as many cells as each other, give or take one, and at most
    ``batch_size * accumulate * devices``; so have the batches of a step.

    Returns
    -------
    steps
        Of each step ``devices * accumulate`` batches of rows, those of the first device first;
        of very few cells some are empty.
    """
    order = np.random.default_rng([seed, epoch]).permutation(cells)
    together = batch_size * accumulate * devices
    steps = np.array_split(order, -(-cells // together))
    return [np.array_split(rows, accumulate * devices) for rows in steps]


def balanced_weights(codes: np.ndarray, classes: int) -> np.ndarray:
    """Weight of each class in the loss, so that all count the same and the mean over cells is 1."""
    sizes = np.bincount(codes, minlength=classes)
    return len(codes) / np.maximum(sizes, 1) / (sizes > 0).sum()


def _given(counts: sparse.csr_matrix, labels: np.ndarray, classes: np.ndarray) -> tuple[Part, str]:
    labels, counts = np.asarray(labels, dtype=object), sparse.csr_matrix(counts)
    _require_rows(counts, labels, None)
    known = np.isin(labels, classes)
    if not known.all():
        unknown = ", ".join(sorted(set(labels[~known]))[:5])
        log.warning("classes of validation cells without a training cell, left out: %s", unknown)
    counts, labels = counts[known], labels[known]
    rows, digest = canonical_order(counts, labels, None)
    return Part(counts[rows], np.searchsorted(classes, labels[rows])), digest


def _set_apart(
    counts: sparse.csr_matrix,
    labels: np.ndarray,
    groups: np.ndarray | None,
    *,
    share: float,
    seed: int,
) -> tuple[np.ndarray, str]:
    """One fold of so many that it has about the share: equal cells, and donors, on one side."""
    none = np.zeros(len(labels), bool)
    largest = pd.Series(labels, dtype=object).value_counts().max()
    units = largest if groups is None else min(largest, len(np.unique(groups)))
    if share == 0 or units < 2:
        return none, "none"
    names = [f"{row:012d}" for row in range(len(labels))]
    folds = int(np.clip(round(1 / share), 2, units))
    try:
        fold, _ = assign_folds(
            labels, names, folds=folds, seed=seed, groups=groups, matrices=[counts]
        )
    except InputError as error:
        log.warning("no cells are set apart to judge epochs by: %s", error.what)
        return none, "none"
    learned = [len(np.unique(labels[fold != number])) for number in range(1, folds + 1)]
    apart = fold == 1 + int(np.argmax(learned))
    if lost := sorted(set(labels[apart]) - set(labels[~apart])):
        log.warning("classes that cannot be learned, all their cells set apart: %s", lost[:5])
    return apart, "by cell" if groups is None else "by group"


def _require_rows(counts: sparse.csr_matrix, labels: np.ndarray, groups: np.ndarray | None) -> None:
    lengths = {counts.shape[0], len(labels), len(labels if groups is None else groups)}
    if len(lengths) > 1:
        raise InputError(
            "E_MATRIX_SHAPE",
            f"counts, labels and groups have {sorted(lengths)} rows",
            fix="give one row for each cell",
        )

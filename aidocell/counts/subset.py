"""A smaller sample, balanced over a column: which cells to go on with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from aidocell.counts.celltable import CellTable, Column, chosen
from aidocell.errors import InputError
from aidocell.texts import Texts

__all__ = ["choose_cells"]


def choose_cells(
    cells: CellTable, kept: np.ndarray, *, number: int, balance: str | None, seed: int
) -> np.ndarray:
    """Draw cells by lot, as evenly over the values of a column as their numbers allow.

    Parameters
    ----------
    cells
        Table of all cells.
    kept
        Those to choose from, boolean, shape ``(n_cells,)``.
    number
        Cells to choose; all of them where there are no more.
    balance
        Column of `cells`; cells without a value are left out. Without it all are alike.
    seed
        Of the draw, which depends on the cells' names and not on their order.

    Returns
    -------
    chosen
        Boolean, shape ``(n_cells,)``.

    Raises
    ------
    InputError
        ``E_LABEL_MISSING``: no such column, or nothing in it.
    """
    labels = _labels(cells, kept, balance)
    by_name = pc.sort_indices(cells.names.where(kept).arrow).to_numpy()
    sizes = np.bincount(labels[labels >= 0])
    generator = np.random.default_rng(seed)
    picked = np.zeros(len(labels), dtype=bool)
    for label, share in enumerate(_level(sizes, number)):
        places = by_name[labels[by_name] == label]
        picked[generator.choice(places, share, replace=False)] = True
    result = np.zeros(len(kept), dtype=bool)
    result[np.flatnonzero(kept)] = picked
    return result


def _labels(cells: CellTable, kept: np.ndarray, balance: str | None) -> np.ndarray:
    """Number of each kept cell's label in the order of the labels, -1 where it has none."""
    if balance is None:
        return np.zeros(int(kept.sum()), np.int32)
    if balance not in cells.columns:
        raise InputError(
            "E_LABEL_MISSING",
            f"the cells have no column '{balance}' (columns: {', '.join(cells.columns) or 'none'})",
            fix="correct subset.balance in the config, or add the column with the sample's metadata",
        )
    labels = _numbered(chosen(cells.columns[balance](), kept))
    if not (labels >= 0).any():
        raise InputError(
            "E_LABEL_MISSING", f"column '{balance}' is empty", fix="fill it, or drop subset.balance"
        )
    return labels


def _numbered(values: Column) -> np.ndarray:
    if isinstance(values, Texts):
        uniques = values.unique()
        codes = values.places_in(uniques)
    else:
        codes, uniques = pd.factorize(values)
    texts = ["" if pd.isna(value) else str(value).strip() for value in uniques]
    rank = {text: number for number, text in enumerate(sorted({t for t in texts if t}))}
    return np.array([*(rank.get(text, -1) for text in texts), -1], np.int32)[codes]


def _level(sizes: np.ndarray, number: int) -> np.ndarray:
    """Shares that add up to `number` and differ only where a class is too small for more."""
    shares = np.zeros_like(sizes)
    number = min(number, int(sizes.sum()))
    while (left := number - shares.sum()) > 0:
        open_classes = np.flatnonzero(shares < sizes)
        each = max(left // len(open_classes), 1)
        for index in open_classes[: left if each == 1 else None]:
            shares[index] += min(each, sizes[index] - shares[index])
    return shares

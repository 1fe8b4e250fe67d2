"""A smaller sample, balanced over a column: which cells to go on with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aidocell.errors import InputError

__all__ = ["choose_cells"]


def choose_cells(cells: pd.DataFrame, *, number: int, balance: str | None, seed: int) -> list[str]:
    """Draw cells by lot, as evenly over the values of a column as their numbers allow.

    Parameters
    ----------
    cells
        Table of the cells to choose from, by name.
    number
        Cells to choose; all of them where there are no more.
    balance
        Column of `cells`; cells without a value are left out. Without it all are alike.
    seed
        Of the draw, which depends on the cells' names and not on their order.

    Returns
    -------
    list of str
        Names of the chosen cells, in the order of `cells`.

    Raises
    ------
    InputError
        ``E_LABEL_MISSING``: no such column, or nothing in it.
    """
    labels = _labels(cells, balance).sort_index()
    sizes = labels.value_counts().sort_index()
    shares = _level(sizes.to_numpy(), number)
    generator = np.random.default_rng(seed)
    chosen: set[str] = set()
    for label, share in zip(sizes.index, shares, strict=True):
        chosen.update(generator.choice(labels.index[labels == label], share, replace=False))
    return [name for name in cells.index if name in chosen]


def _labels(cells: pd.DataFrame, balance: str | None) -> pd.Series:
    if balance is None:
        return pd.Series("all", index=cells.index)
    if balance not in cells:
        raise InputError(
            "E_LABEL_MISSING",
            f"the cells have no column '{balance}' (columns: {', '.join(map(str, cells.columns)) or 'none'})",
            fix="correct subset.balance in the config, or add the column with the sample's metadata",
        )
    labels = cells[balance].dropna().astype(str).str.strip()
    labels = labels[labels != ""]
    if labels.empty:
        raise InputError(
            "E_LABEL_MISSING", f"column '{balance}' is empty", fix="fill it, or drop subset.balance"
        )
    return labels


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

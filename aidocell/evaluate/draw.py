"""A lot among labelled cells that leaves every class its share."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_cells"]


def draw_cells(labels: np.ndarray, most: int, *, seed: int, at_least: int = 1) -> np.ndarray:
    """Draw cells class by class.

    Parameters
    ----------
    labels
        Class of each cell, shape ``(cells,)``, in an order that depends on nothing but the cells.
    most
        Cells to draw; where there are no more, all are taken.
    seed
        Of the lot.
    at_least
        Cells that a class keeps if it has them, however small its share: these may exceed `most`.

    Returns
    -------
    drawn
        Boolean, shape ``(cells,)``.
    """
    if len(labels) <= most:
        return np.ones(len(labels), bool)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, most, at_least)
    drawn = np.zeros(len(labels), bool)
    generator = np.random.default_rng(seed)
    for code, quota in enumerate(quotas):
        drawn[generator.choice(np.flatnonzero(codes == code), quota, replace=False)] = True
    return drawn


def _quotas(sizes: np.ndarray, most: int, at_least: int) -> np.ndarray:
    """Cells of each class: the least first, then what is left by share, largest remainders first."""
    quotas = np.minimum(sizes, at_least)
    rest = sizes - quotas
    spare = most - quotas.sum()
    if spare <= 0:
        return quotas
    shares = rest * (spare / rest.sum())
    quotas = quotas + shares.astype(int)
    by_remainder = np.argsort(-(shares % 1), kind="stable")
    quotas[by_remainder[: most - quotas.sum()]] += 1
    return quotas

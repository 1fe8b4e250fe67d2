"""Majority vote within neighbourhoods: cells that are alike get one label.

The neighbourhoods are many small Leiden clusters, of the query's own cells. It smooths what a
classifier says, and it also outvotes a rare type that lies among a frequent one.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["NEIGHBOURS", "neighbourhoods", "resolution_for", "vote"]

NEIGHBOURS = 15
# Cells below which each resolution holds, as CellTypist's over-clustering chooses it.
_RESOLUTIONS = ((5_000, 5), (20_000, 10), (40_000, 15), (100_000, 20), (200_000, 25))
_HIGHEST = 30


def resolution_for(cells: int) -> int:
    """Leiden's resolution: 5 below 5,000 cells, up to 30 from 200,000."""
    return next((value for most, value in _RESOLUTIONS if cells < most), _HIGHEST)


def neighbourhoods(
    embeddings: np.ndarray, cells: np.ndarray, *, seed: int = 0
) -> tuple[np.ndarray, dict[str, Any]]:
    """Small clusters of the query's cells; the order of the cells does not matter.

    Leiden (igraph, two iterations) on scanpy's graph of 15 neighbours.

    Parameters
    ----------
    embeddings
        Shape ``(cells, hidden)``.
    cells
        Their names.

    Returns
    -------
    neighbourhood
        Integers from 0, shape ``(cells,)``.
    about
        ``neighbours``, ``resolution`` and ``seed``.
    """
    about = {"neighbours": NEIGHBOURS, "resolution": resolution_for(len(cells)), "seed": seed}
    if len(cells) < 3:  # too few for a graph
        return np.zeros(len(cells), dtype=np.int64), about
    import scanpy
    from anndata import AnnData

    order = np.argsort(cells, kind="stable")
    graph = AnnData(embeddings[order].astype(np.float32))
    neighbours = min(NEIGHBOURS, len(cells) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and scanpy's about themselves
        scanpy.pp.neighbors(graph, n_neighbors=neighbours, use_rep="X", random_state=seed)
        scanpy.tl.leiden(
            graph,
            resolution=about["resolution"],
            flavor="igraph",
            n_iterations=2,
            directed=False,
            random_state=seed,
        )
    found = np.empty(len(cells), dtype=np.int64)
    found[order] = graph.obs["leiden"].astype(int).to_numpy()
    return found, about


def vote(
    neighbourhood: np.ndarray, predicted: np.ndarray, probability: np.ndarray, unknown: np.ndarray
) -> np.ndarray:
    """The most frequent class of each neighbourhood, for all of its cells.

    Unknown cells do not vote, though they get the result; where nobody votes it is None. Among
    equally frequent classes the one with the higher sum of probabilities wins, then the first by
    name.
    """
    voters = pd.DataFrame({"place": neighbourhood, "class": predicted, "probability": probability})[
        ~unknown
    ]
    counted = voters.groupby(["place", "class"])["probability"].agg(["size", "sum"]).reset_index()
    # rounded, so that the order in which equal sums were added up decides nothing
    counted["sum"] = counted["sum"].round(9)
    counted = counted.sort_values(
        ["place", "size", "sum", "class"], ascending=[True, False, False, True]
    )
    winner = counted.drop_duplicates("place").set_index("place")["class"]
    return (
        pd.Series(neighbourhood)
        .map(winner)
        .astype(object)
        .where(lambda v: v.notna(), None)
        .to_numpy()
    )

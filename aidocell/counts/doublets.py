"""Doublet scores by Scrublet, through scanpy."""

from __future__ import annotations

import logging
import warnings

import anndata as ad
import numpy as np
from scipy import sparse

__all__ = ["doublet_scores"]

_FEWEST = 50  # cells; below, simulated doublets have no neighbourhoods worth the name
_log = logging.getLogger(__name__)


def doublet_scores(counts: sparse.csr_matrix, *, seed: int, where: str) -> np.ndarray:
    """Scrublet's score of each cell, between 0 and 1.

    The cells of one sample are held in memory, and twice as many simulated doublets: sparse,
    but not by chunks.

    Parameters
    ----------
    counts
        Raw counts of one sample, shape ``(n_cells, n_genes)``.
    seed
        Of the simulated doublets.
    where
        The sample, for the warning if there are too few cells or genes to tell; all NaN then.

    Returns
    -------
    scores
        Shape ``(n_cells,)``.
    """
    import scanpy as sc

    missing = np.full(counts.shape[0], np.nan)
    if counts.shape[0] < _FEWEST:
        _log.warning("%s: no doublet scores for %d cells", where, counts.shape[0])
        return missing
    cells = ad.AnnData(counts.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on rates that Scrublet derives from the scores
        try:
            # the threshold decides nothing here; it spares Scrublet the guess of one
            sc.pp.scrublet(cells, threshold=0.25, random_state=seed, verbose=False)
        except ValueError as error:  # from its PCA
            _log.warning("%s: no doublet scores, too few variable genes (%s)", where, error)
            return missing
    return cells.obs["doublet_score"].to_numpy(float)

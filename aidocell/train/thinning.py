"""Cells as a shallower sequencing would have seen them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from aidocell.train.pretrain_options import PretrainOptions

__all__ = ["thinned"]


def thinned(
    counts: sparse.csr_matrix, generators: Sequence[np.random.Generator], options: PretrainOptions
) -> sparse.csr_matrix:
    """Down-sample a random share of the deep cells.

    Of the cells with more than ``thinning_min_counts`` counts, ``thinned_share`` are thinned: each
    of a cell's molecules is kept with a rate that is drawn for the cell from a beta distribution.

    Parameters
    ----------
    counts
        Raw counts, shape ``(cells, genes)``.
    generators
        One a cell, so that what happens to a cell does not depend on those beside it.

    Returns
    -------
    csr_matrix
        Raw counts of the same shape and pattern; a cell that was not thinned is as it was, and so
        is one that would have no count left.
    """
    data = counts.data.copy()
    for start, stop, generator in zip(
        counts.indptr[:-1], counts.indptr[1:], generators, strict=True
    ):
        chosen = generator.random() < options.thinned_share
        if chosen and data[start:stop].sum(dtype=np.int64) > options.thinning_min_counts:
            rate = generator.beta(options.thinning_alpha, options.thinning_beta)
            kept = generator.binomial(data[start:stop], rate)
            if kept.any():
                data[start:stop] = kept
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)

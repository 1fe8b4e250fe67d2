"""The most variable genes of the training cells, as scanpy finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["VARIABLE_GENES", "variable_genes"]

VARIABLE_GENES = 2_000


def variable_genes(cells: AnnData) -> np.ndarray:
    """Columns of the 2,000 most variable genes, or of all where there are no more.

    Parameters
    ----------
    cells
        log1p of counts per 10,000 of the training cells alone.

    Returns
    -------
    columns
        Sorted, by ``scanpy.pp.highly_variable_genes(cells, n_top_genes=2000)`` (flavour
        ``seurat``), among genes that are expressed at all.
    """
    import scanpy

    expressed = np.flatnonzero(np.asarray(cells.X.sum(axis=0)).ravel() > 0)
    if len(expressed) <= VARIABLE_GENES:
        return expressed
    table = scanpy.pp.highly_variable_genes(
        cells[:, expressed], n_top_genes=VARIABLE_GENES, inplace=False
    )
    return expressed[table["highly_variable"].to_numpy()]

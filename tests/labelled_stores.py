"""Stores of labelled cells, as the earlier stages write them."""

from __future__ import annotations

import anndata as ad
import pandas as pd

from aidocell.store import write_store

__all__ = ["stores", "write_sample"]


def write_sample(toy, folder, provenance, *, obs=None, embedded=slice(None), **changes):
    """Embeddings and counts of one sample, as the earlier stages write them."""
    folder.mkdir(parents=True)
    columns = {"cell_type": pd.Categorical(toy.labels), "donor": toy.donors}
    table = pd.DataFrame(columns if obs is None else obs, index=toy.cells)
    recorded = {**provenance, "counts_digest": f"{folder.name:0>64}", **changes}
    vectors = ad.AnnData(obs=table.iloc[embedded], obsm={"X_aidocell": toy.embeddings[embedded]})
    write_store(vectors, folder / "embeddings.zarr.zip", provenance=recorded)
    counts = ad.AnnData(X=toy.counts, obs=table)
    write_store(counts, folder / "counts.zarr.zip", provenance=recorded)
    return folder


def stores(folders, name):
    return [folder / f"{name}.zarr.zip" for folder in folders]

"""A store of counts, written in chunks of cells."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from anndata.io import write_elem
from scipy import sparse

from aidocell.errors import InputError
from aidocell.store import deterministic, new_store

__all__ = ["StoreWriter"]

_CHUNK = 1 << 20  # elements of X's arrays in one Zarr chunk


class StoreWriter:
    """Write a count matrix in chunks of cells, in memory bounded by a chunk; a context manager.

    Nothing appears under `path` unless the body ends without an error. The provenance gains
    ``counts_digest``, a digest of X, cell names and genes that does not depend on the chunking.

    Parameters
    ----------
    path
        ``NAME.zarr.zip``.
    var
        Table of the genes, in the order of the columns.
    provenance
        Goes to ``uns["aidocell"]``.
    """

    def __init__(
        self, path: str | Path, *, var: pd.DataFrame, provenance: dict, overwrite: bool = False
    ) -> None:
        self._context = new_store(path, overwrite=overwrite)
        self._var, self._provenance = var, provenance
        self._obs: list[pd.DataFrame] = []
        self._row_lengths: list[np.ndarray] = []
        self._hashes = {"data": hashlib.sha256(), "indices": hashlib.sha256()}

    def __enter__(self) -> StoreWriter:
        self._group = zarr.open_group(self._context.__enter__(), mode="w", zarr_format=3)
        self._arrays = {
            name: self._group.create_array(
                f"X/{name}",
                shape=(0,),
                chunks=(_CHUNK,),
                dtype="int32",
                config={"write_empty_chunks": True},
            )
            for name in ("data", "indices")
        }
        return self

    def append(self, counts: sparse.csr_matrix, obs: pd.DataFrame) -> None:
        """Add cells: raw counts (cells, genes) and their rows of the cell table."""
        counts = sparse.csr_matrix(counts)
        counts.sort_indices()
        if counts.nnz and counts.data.max() > np.iinfo(np.int32).max:
            raise InputError(
                "E_MATRIX_TYPE",
                f"a count of {counts.data.max()} is larger than a store can hold",
                fix="check the input: no cell has over two billion counts of one gene",
            )
        for name, array in self._arrays.items():
            values = getattr(counts, name).astype(np.int32)
            self._hashes[name].update(values.tobytes())
            array.append(values)
        self._row_lengths.append(np.diff(counts.indptr).astype(np.int64))
        self._obs.append(obs)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool | None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._context.__exit__(type(failure), failure, failure.__traceback__)
                raise
        return self._context.__exit__(kind, error, trace)

    def _finish(self) -> None:
        obs = pd.concat(self._obs) if self._obs else pd.DataFrame()
        lengths = np.concatenate([np.zeros(1, np.int64), *self._row_lengths])
        indptr = np.cumsum(lengths)
        shape = [len(obs), len(self._var)]
        with deterministic():
            self._group["X"].create_array("indptr", data=indptr, chunks=(_CHUNK,))
            self._group["X"].attrs.update(
                {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape}
            )
            self._group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            digest = self._digest(obs, lengths, shape)
            parts = {
                "obs": obs,
                "var": self._var,
                "uns": {"aidocell": {**self._provenance, "counts_digest": digest}},
            }
            for name, part in parts.items():
                write_elem(self._group, name, part)
            for name in ("obsm", "obsp", "varm", "varp", "layers"):
                write_elem(self._group, name, {})

    def _digest(self, obs: pd.DataFrame, lengths: np.ndarray, shape: list[int]) -> str:
        names = [*obs.index.astype(str), *self._var.index.astype(str)]
        measured = (
            self._var["measured"].to_numpy(bool)
            if "measured" in self._var
            else np.ones(shape[1], bool)
        )
        parts = [
            json.dumps(shape).encode(),
            json.dumps(names).encode(),
            measured.tobytes(),
            lengths.tobytes(),
            *(h.digest() for h in self._hashes.values()),
        ]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

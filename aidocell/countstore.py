"""A store of counts, written in chunks of cells."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from anndata.io import write_elem
from pandas.api.extensions import ExtensionArray
from scipy import sparse
from zarr.core.dtype import VariableLengthUTF8

from aidocell.errors import InputError
from aidocell.store import deterministic, new_store
from aidocell.texts import BLOCK, Texts

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
        self._row_lengths = array("i")
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

    def append(self, counts: sparse.csr_matrix) -> None:
        """Add the raw counts of cells, shape ``(n_cells, n_genes)``."""
        counts = sparse.csr_matrix(counts)
        counts.sort_indices()
        if counts.nnz and counts.data.max() > np.iinfo(np.int32).max:
            raise InputError(
                "E_MATRIX_TYPE",
                f"a count of {counts.data.max()} is larger than a store can hold",
                fix="check the input: no cell has over two billion counts of one gene",
            )
        for name, stored in self._arrays.items():
            values = getattr(counts, name).astype(np.int32)
            self._hashes[name].update(values.tobytes())
            stored.append(values)
        self._row_lengths.frombytes(np.diff(counts.indptr).astype(np.int32).tobytes())

    def write_cells(
        self,
        names: Texts,
        columns: Iterable[tuple[str, Texts | np.ndarray | ExtensionArray]] = (),
        *,
        index_name: str | None = None,
    ) -> None:
        """Write the table of all cells, once, column by column.

        Parameters
        ----------
        names
            One a cell.
        columns
            Names and values that AnnData can store; texts without missing ones.
        index_name
            What `names` are called.
        """
        self._names = names
        with deterministic():
            # anndata writes the form of the table, here without rows and columns
            empty = pd.DataFrame(index=pd.Index([], dtype=object, name=index_name))
            write_elem(self._group, "obs", empty)
            table = self._group["obs"]
            _write_column(table, table.attrs["_index"], names)
            order = []
            for name, values in columns:
                _write_column(table, name, values)
                order.append(name)
            table.attrs["column-order"] = order

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool | None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._context.__exit__(type(failure), failure, failure.__traceback__)
                raise
        return self._context.__exit__(kind, error, trace)

    def _finish(self) -> None:
        lengths = np.concatenate(
            [np.zeros(1, np.int32), np.frombuffer(self._row_lengths, np.int32)]
        )
        shape = [len(self._names), len(self._var)]
        with deterministic():
            indptr = np.cumsum(lengths, dtype=np.int64)
            self._group["X"].create_array("indptr", data=indptr, chunks=(_CHUNK,))
            self._group["X"].attrs.update(
                {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape}
            )
            self._group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            uns = {"aidocell": {**self._provenance, "counts_digest": self._digest(lengths, shape)}}
            for name, part in {"var": self._var, "uns": uns}.items():
                write_elem(self._group, name, part)
            for name in ("obsm", "obsp", "varm", "varp", "layers"):
                write_elem(self._group, name, {})

    def _digest(self, lengths: np.ndarray, shape: list[int]) -> str:
        measured = (
            self._var["measured"].to_numpy(bool)
            if "measured" in self._var
            else np.ones(shape[1], bool)
        )
        parts = [
            hashlib.sha256(json.dumps(shape).encode()),
            self._names_hash(),
            hashlib.sha256(measured.tobytes()),
            _hash_of_int64(lengths),
            *(hashlib.sha256(h.digest()) for h in self._hashes.values()),
        ]
        return hashlib.sha256(b"".join(part.digest() for part in parts)).hexdigest()

    def _names_hash(self) -> Any:
        """Sha256 of a JSON list of the names of cells and genes, which is never whole in memory."""
        digest, before = hashlib.sha256(b"["), b""
        for block in (*self._names.blocks(), list(self._var.index.astype(str))):
            digest.update(before + json.dumps(block)[1:-1].encode())
            before = b", "
        digest.update(b"]")
        return digest


def _hash_of_int64(values: np.ndarray) -> Any:
    digest = hashlib.sha256()
    for start in range(0, len(values), BLOCK):
        digest.update(values[start : start + BLOCK].astype(np.int64).tobytes())
    return digest


def _write_column(
    table: zarr.Group, name: str, values: Texts | np.ndarray | ExtensionArray
) -> None:
    """A column as anndata writes it; texts are Python strings a Zarr chunk at a time."""
    if not isinstance(values, Texts):
        write_elem(table, name, values)
        return
    if name in table:
        del table[name]
    texts = table.create_array(name, shape=(len(values),), dtype=VariableLengthUTF8())
    texts.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    for start in range(0, len(values), texts.chunks[0]):
        part = values[start : start + texts.chunks[0]]
        texts[start : start + len(part)] = np.array(part.arrow.to_pylist(), dtype=object)

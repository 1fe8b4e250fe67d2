"""Single-file Zarr: every store is one zip-packed Zarr v3 AnnData, ``NAME.zarr.zip``.

A store is written to a temporary folder, packed (stored, sorted, fixed timestamps, so that equal
content gives equal bytes) and renamed into place. The zip's comment holds a sha256 of everything
before it, so :func:`verify` notices a change of any byte; every chunk read by row is checked
against its CRC-32.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem, sparse_dataset, write_elem
from scipy import sparse

from aidocell.errors import InputError, MachineError
from aidocell.files import atomic, refuse_existing, remove
from aidocell.h5ad import copy_group, new_h5ad
from aidocell.rows import copy_table, index_of, read_table, rows_of
from aidocell.seal import SUFFIX, comes_back, damaged, pack, read_seal, require_file, verify
from aidocell.unforeseen import raise_if_machine_failed
from aidocell.zarrthread import start_zarr

__all__ = [
    "EMBEDDING",
    "SUFFIX",
    "StoreReader",
    "deterministic",
    "export",
    "new_store",
    "read_store",
    "verify",
    "write_store",
]

EMBEDDING = "X_aidocell"  # where embeddings lie in obsm


def write_store(
    adata: ad.AnnData,
    path: str | Path,
    *,
    provenance: dict,
    overwrite: bool = False,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write `adata` as one file, whole or not at all.

    Parameters
    ----------
    adata
        What to store; not changed.
    path
        ``NAME.zarr.zip``.
    provenance
        Goes to ``uns["aidocell"]``; no time, host or path, so that equal work gives equal bytes.
    overwrite
        Replace a file that is there; otherwise that is ``E_OUTPUT_EXISTS``.
    check
        Called with the written file before it gets its name; what it raises keeps it from that.
    """
    with new_store(path, overwrite=overwrite, check=check) as folder, deterministic():
        # a shallow copy, so that the caller's uns stays as it is
        copy = ad.AnnData(
            X=adata.X,
            obs=adata.obs,
            var=adata.var,
            obsm=dict(adata.obsm),
            layers=dict(adata.layers),
            uns={**adata.uns, "aidocell": provenance},
        )
        write_elem(zarr.open_group(folder, mode="w", zarr_format=3), "/", copy)


def read_store(path: str | Path) -> ad.AnnData:
    """Read any output whole, verified against its sha256.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, or ``E_STORE_DAMAGED`` where a byte is not as it was written.
    """
    verify(path)
    with _opened(path) as store:
        adata = ad.read_zarr(store)
    if "aidocell" in adata.uns:
        adata.uns["aidocell"] = _plain(adata.uns["aidocell"])
    return adata


class StoreReader:
    """A store opened for reading rows; use as a context manager.

    Opening checks that every chunk is there, reading checks the CRC-32 of each chunk it touches;
    :func:`verify` reads the whole file and is for whole-file readers. Opening reads no table: the
    names of a million cells are read where they are asked for.

    Attributes
    ----------
    shape
        Cells, genes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        require_file(self.path)

    def __enter__(self) -> StoreReader:
        with _reading(self.path):
            read_seal(self.path)  # a store cut short by less than its comment would open
            _require_all_chunks(self.path)
            start_zarr()
            self._store = zarr.storage.ZipStore(self.path, mode="r")
            self._group = zarr.open_group(self._store, mode="r")
            self.shape = tuple(index_of(self._group[name]).shape[0] for name in ("obs", "var"))
        return self

    def __exit__(self, *exc: object) -> None:
        self._store.close()

    @cached_property
    def provenance(self) -> dict:
        """``uns["aidocell"]`` as plain Python values."""
        with _reading(self.path):
            uns = self._group["uns"]
            return _plain(read_elem(uns["aidocell"])) if "aidocell" in uns else {}

    @cached_property
    def obs(self) -> pd.DataFrame:
        """The whole table of the cells."""
        with _reading(self.path):
            return read_elem(self._group["obs"])

    @cached_property
    def var(self) -> pd.DataFrame:
        """The table of the genes."""
        with _reading(self.path):
            return read_elem(self._group["var"])

    @property
    def contents(self) -> set[str]:
        """What it holds: ``counts``, ``embeddings``, both or neither."""
        embeddings = {"embeddings"} if EMBEDDING in self._group["obsm"] else set()
        return embeddings | ({"counts"} if isinstance(self._group.get("X"), zarr.Group) else set())

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the cells."""
        return list(self._group["obs"].attrs["column-order"])

    def cells(self, start: int, stop: int) -> pd.Index:
        """Names of the cells ``start`` to ``stop``."""
        with _reading(self.path):
            return pd.Index(index_of(self._group["obs"])[start:stop].astype(object))

    def copy_table(self, target: zarr.Group, keep: np.ndarray) -> None:
        """Copy the table of the cells that a mask marks into an empty group of another store."""
        with _reading(self.path):
            copy_table(self._group["obs"], target, keep)

    def table(self, keep: np.ndarray, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The table of the cells that a mask marks, with some of its columns or all."""
        with _reading(self.path):
            return read_table(self._group["obs"], keep, columns)

    @property
    def width(self) -> int:
        """Length of an embedding."""
        with _reading(self.path):
            return self._group["obsm"][EMBEDDING].shape[1]

    def vectors(self, keep: np.ndarray) -> Iterator[np.ndarray]:
        """Embeddings of the cells that a mask marks, in order, a range of cells at a time."""
        with _reading(self.path):
            yield from rows_of(self._group["obsm"][EMBEDDING], keep)

    @property
    def row_lengths(self) -> np.ndarray:
        """How many counts of each cell are stored, shape ``(cells,)``."""
        with _reading(self.path):
            return np.diff(self._group["X"]["indptr"][:])

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Rows ``start`` to ``stop`` of X, read straight from the zip."""
        with _reading(self.path):
            return sparse.csr_matrix(sparse_dataset(self._group["X"])[start:stop])

    def chunks(self, size: int = 4096) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Pairs of first row and rows, in order."""
        for start in range(0, self.shape[0], size):
            yield start, self.rows(start, min(start + size, self.shape[0]))


def export(path: str | Path, output: str | Path, *, overwrite: bool = False) -> None:
    """Write a verified store as ``.h5ad`` for scanpy, Seurat or CELLxGENE; little of it is in memory."""
    refuse_existing(output, overwrite=overwrite, inputs=[path])
    verify(path)
    with atomic(output) as temporary, new_h5ad(temporary) as file, _opened(path) as store:
        copy_group(zarr.open_group(store, mode="r"), file)


@contextmanager
def new_store(
    path: str | Path, *, overwrite: bool, check: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Give a folder to fill; when the body ends well, pack it, `check` it and name it `path`."""
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise InputError(
            "E_USAGE", f"the output {path} is no {SUFFIX} file", fix=f"name it NAME{SUFFIX}"
        )
    refuse_existing(path, overwrite=overwrite)
    start_zarr()
    with atomic(path) as temporary:
        folder = temporary.with_name(temporary.name + ".folder")
        try:
            yield folder
            pack(folder, temporary)
            if not comes_back(temporary):
                what = f"the disk gives back other bytes than were written to {path}"
                fix = "have that disk checked, or choose another, then run the same command again"
                raise MachineError("E_DISK_FAILED", what, fix=fix)
            if check:
                check(temporary)
        finally:
            remove(folder)


@contextmanager
def deterministic() -> Iterator[None]:
    """Zarr v3 with every chunk written: a missing one would read as zeros without a word."""
    with (
        ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False),
        zarr.config.set({"array.write_empty_chunks": True}),
    ):
        yield


def _require_all_chunks(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        present: dict[str, int] = {}
        for name in names:
            array, found, _ = (
                name.rpartition("/c/") if "/c/" in name else (name[:-2], name.endswith("/c"), "")
            )
            if found:
                present[array] = present.get(array, 0) + 1
        for name in (n for n in names if n.endswith("/zarr.json")):
            expected = _chunk_count(json.loads(archive.read(name)))
            array = name.removesuffix("/zarr.json")
            if present.get(array, 0) != expected:
                raise damaged(path, f"chunks of {array} are missing")


def _chunk_count(metadata: dict) -> int:
    if metadata["node_type"] != "array" or metadata["attributes"].get("encoding-type") == "null":
        return 0  # groups have no chunks, and anndata writes None as an array without any
    sizes = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    return math.prod(-(-n // size) for n, size in zip(metadata["shape"], sizes, strict=True))


@contextmanager
def _opened(path: str | Path) -> Iterator[zarr.storage.ZipStore]:
    with _reading(Path(path)), zarr.storage.ZipStore(path, mode="r") as store:
        yield store


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file where a read fails: a torn zip, a wrong CRC, a missing or odd member."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, RuntimeError) as error:
        raise_if_machine_failed(error)
        raise damaged(path, f"{type(error).__name__} on reading") from error


def _plain(value: Any) -> Any:
    """Turn what Zarr gives back (numpy scalars, arrays) into plain Python values."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim else value.item()
    return value.item() if isinstance(value, np.generic) else value

"""Cells of one or several stores: names and labels of all, matrices of the rows that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.errors import InputError
from aidocell.provenance import require_same
from aidocell.store import StoreReader, verify

__all__ = ["StoredCells", "Stores", "require_alike", "stored_counts", "stored_embeddings"]

_STEP = 4096  # cells whose counts are read at a time


@dataclass(frozen=True)
class Stores:
    """Embeddings, counts or both of the same cells, store by store.

    Attributes
    ----------
    embeddings, counts
        ``embeddings.zarr.zip`` and ``counts.zarr.zip`` of the same samples in the same order;
        either may be empty. The cells are those of the embeddings, if there are any.
    samples
        Names of the samples: cells are then called ``<sample>:<barcode>``.
    """

    embeddings: Sequence[str | Path] = ()
    counts: Sequence[str | Path] = ()
    samples: Sequence[str] | None = None


@dataclass(frozen=True)
class StoredCells:
    """Cells of stores that were verified, in order.

    Attributes
    ----------
    paths, samples
        The stores and, if they have any, the names of their samples.
    names
        Of the cells; with samples ``<sample>:<barcode>``.
    starts
        Where each store's cells begin, and the number of all.
    provenances
        Of each store.
    """

    paths: list[Path]
    samples: list[str] | None
    names: pd.Index
    starts: np.ndarray
    provenances: list[dict[str, Any]]

    def column(self, name: str, option: str) -> pd.Series:
        """One column of all cells; with samples, ``sample`` is one too.

        Raises
        ------
        InputError
            ``E_LABEL_MISSING``: no store has it; `option` says where another can be named.
        """
        if name == "sample" and self.samples:
            return pd.Series(np.repeat(self.samples, np.diff(self.starts)), index=self.names)
        parts, known = [], ["sample"] if self.samples else []
        for path, cells in zip(self.paths, np.diff(self.starts), strict=True):
            with StoreReader(path) as store:
                known = [*store.columns, *known]
                if name in store.columns:
                    parts.append(store.table(np.ones(cells, bool), [name])[name])
                else:
                    parts.append(pd.Series(None, index=range(cells), dtype=object))
        if name not in known:
            raise _no_column(name, option, list(dict.fromkeys(known)))
        return pd.concat(parts).set_axis(self.names)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that any store has."""
        found: dict[str, None] = {}
        for path in self.paths:
            with StoreReader(path) as store:
                found |= dict.fromkeys(store.columns)
        return list(found)

    @property
    def genes(self) -> list[str]:
        """Symbols of the columns of counts."""
        with StoreReader(self.paths[0]) as store:
            return store.var.index.astype(str).tolist()

    def blocks(self) -> Iterator[np.ndarray | sparse.csr_matrix]:
        """Counts, or embeddings where there are none, of all cells in order, some at a time."""
        for path, cells in zip(self.paths, np.diff(self.starts), strict=True):
            with StoreReader(path) as store:
                every = np.ones(cells, bool)
                counts = "counts" in store.contents
                yield from _counts(store, every) if counts else store.vectors(every)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Embeddings of these rows, in this order, shape ``(rows, width)``."""
        parts = self._parts(rows, lambda store, wanted: store.vectors(wanted))
        return np.concatenate(list(parts))[_places(rows)]

    def counts(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Raw counts of these rows, in this order, shape ``(rows, genes)``."""
        parts = list(self._parts(rows, _counts))
        return sparse.vstack(parts, format="csr")[_places(rows)]

    def _parts(self, rows: np.ndarray, read: Callable[..., Iterator[Any]]) -> Iterator[Any]:
        """What `read` gives of each store for the mask of its rows."""
        wanted = np.zeros(self.starts[-1], bool)
        wanted[rows] = True
        for path, start, stop in zip(self.paths, self.starts, self.starts[1:], strict=False):
            if wanted[start:stop].any():
                with StoreReader(path) as store:
                    yield from read(store, wanted[start:stop])


def _places(rows: np.ndarray) -> np.ndarray:
    """Where each of these rows stands when they are sorted."""
    return np.searchsorted(np.sort(rows), rows)


def _counts(store: StoreReader, wanted: np.ndarray) -> Iterator[sparse.csr_matrix]:
    for start in range(0, len(wanted), _STEP):
        part = wanted[start : start + _STEP]
        if part.any():
            yield store.rows(start, start + len(part))[part]


def stored_embeddings(paths: Sequence[str | Path], samples: Sequence[str] | None) -> StoredCells:
    """Cells of ``embeddings.zarr.zip`` of one checkpoint, gene list, pooling and precision."""
    return _stored(paths, samples, "embeddings", _require_same_run)


def stored_counts(paths: Sequence[str | Path], samples: Sequence[str] | None) -> StoredCells:
    """Cells of ``counts.zarr.zip`` over one gene list."""
    return _stored(paths, samples, "counts", _require_same_genes)


def require_alike(first: StoredCells, second: StoredCells, *, embedded: bool) -> None:
    """Refuse counts of another gene list, or embeddings of another run (``E_STORE_MISMATCH``)."""
    require_fit = _require_same_run if embedded else _require_same_genes
    require_fit(first.provenances[0], second.provenances[0], where=str(second.paths[0]))


def _stored(
    paths: Sequence[str | Path],
    samples: Sequence[str] | None,
    what: str,
    require_fit: Callable[..., None],
) -> StoredCells:
    names, sizes, provenances = [], [], []
    for place, path in enumerate(map(Path, paths)):
        verify(path)
        with StoreReader(path) as store:
            if what not in store.contents:
                fix = f"give {'an' if what == 'embeddings' else 'a'} {what}.zarr.zip"
                raise InputError("E_FILE_FORMAT", f"{path} holds no {what}", fix=fix)
            provenances.append(store.provenance)
            require_fit(provenances[0], store.provenance, where=str(path))
            own = store.cells(0, store.shape[0])
            names.append(f"{samples[place]}:" + own if samples else own)
            sizes.append(store.shape[0])
    joined = names[0].append(names[1:])
    starts = np.cumsum([0, *sizes])
    return StoredCells(
        [*map(Path, paths)], list(samples or []) or None, joined, starts, provenances
    )


def _require_same_run(expected: Mapping[str, Any], found: Mapping[str, Any], *, where: str) -> None:
    for what, section, name in (
        ("checkpoint", "model", "sha256"),
        ("pooling", "options", "pooling"),
        ("precision", "options", "precision"),
    ):
        require_same(what, expected[section][name], found[section][name], where=where)
    _require_same_genes(expected, found, where=where)


def _require_same_genes(
    expected: Mapping[str, Any], found: Mapping[str, Any], *, where: str
) -> None:
    require_same("gene list", expected["genes_sha256"], found["genes_sha256"], where=where)


def _no_column(name: str, option: str, known: list[str]) -> InputError:
    return InputError(
        "E_LABEL_MISSING",
        f"the cells have no column '{name}' (columns: {', '.join(known) or 'none'})",
        fix=f"give one of those to {option}, or add it to the cells",
    )

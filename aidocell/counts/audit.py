"""The audit of a file: what was found, accepted, resolved and left out, in genes and in UMIs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse

from aidocell.counts.options import InputOptions
from aidocell.counts.placement import Placement
from aidocell.counts.remarks import DEEP, remarks
from aidocell.counts.source import CountSource, open_counts
from aidocell.files import sha256_file
from aidocell.genes import ROUTES, Vocabulary

__all__ = ["Tally", "check", "input_sha256", "summarise"]

_LISTED = 50  # entries of each list; the figures beside them count all
_TOP = 20
_FIRST = 10


def check(
    path: str | Path,
    options: InputOptions | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    min_share: float = 0.5,
) -> dict:
    """Read a file once, chunk by chunk, and say what would be accepted and what is wrong.

    Parameters
    ----------
    path
        Any INPUT.
    options
        How to read it.
    vocabulary
        The model's genes; the 19,264 if not given.
    min_share
        Share of all counts that has to be on genes of the vocabulary, between 0 and 1.

    Returns
    -------
    audit
        Plain Python values, as ``audit.json`` holds them: figures of cells, genes and UMIs, how
        names were resolved, what was added up, what was ambiguous or in conflict or left out,
        and ``warnings``.

    Raises
    ------
    InputError
        Where the file is refused.
    """
    with open_counts(path, options or InputOptions()) as source:
        tally = Tally.of(source, vocabulary=vocabulary)
        for _, counts in source.chunks():
            tally.add(counts)
        return summarise(tally, sha256=input_sha256(path), min_share=min_share)


def input_sha256(path: str | Path) -> str:
    """Hex sha256 of a file; of a folder, over the names and digests of its files in order."""
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{part.relative_to(path).as_posix()}\t{sha256_file(part)}\n".encode())
    return digest.hexdigest()


@dataclass
class Tally:
    """Sums over the cells of a file, gathered chunk by chunk.

    Attributes
    ----------
    umis
        Counts of each row, int64, shape ``(n_rows,)``.
    cell_umis, cell_genes
        Of each cell, shape ``(n_cells,)``: all counts, and rows with a count.
    empty, first_empty
        Cells without a count in the vocabulary: how many, and the places of the first.
    """

    source: CountSource
    placement: Placement
    umis: np.ndarray
    cell_umis: np.ndarray
    cell_genes: np.ndarray
    nonzero: int = 0
    cells: int = 0
    empty: int = 0
    first_empty: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, source: CountSource, *, vocabulary: Vocabulary | None = None) -> Tally:
        """An empty tally of an opened file, its rows resolved."""
        placement = Placement.of(
            source.var.index,
            source.gene_names,
            vocabulary=vocabulary,
            measured=source.measured,
        )
        cells, rows = source.shape
        return cls(
            source,
            placement,
            umis=np.zeros(rows, np.int64),
            cell_umis=np.zeros(cells, np.int32),
            cell_genes=np.zeros(cells, np.int32),
        )

    def add(self, counts: sparse.csr_matrix) -> None:
        """Add a chunk of cells; raw counts, shape ``(n_cells, n_rows)``."""
        self.umis += np.asarray(counts.sum(axis=0, dtype=np.int64)).ravel()
        self.nonzero += counts.nnz
        part = slice(self.cells, self.cells + counts.shape[0])
        self.cell_genes[part] = np.diff(counts.indptr)
        totals = np.asarray(counts.sum(axis=1, dtype=np.int64)).ravel()
        if totals.max(initial=0) > np.iinfo(self.cell_umis.dtype).max:  # which no cell has
            self.cell_umis = self.cell_umis.astype(np.int64)
        self.cell_umis[part] = totals
        known = counts @ self.placement.resolved.astype(np.int64)
        empty = np.flatnonzero(known == 0) + part.start
        self.empty += len(empty)
        self.first_empty += empty[: _FIRST - len(self.first_empty)].tolist()
        self.cells = part.stop


def summarise(tally: Tally, *, sha256: str, min_share: float) -> dict:
    """The audit of a file whose cells are all in `tally`.

    Raises
    ------
    InputError
        ``E_SPECIES``, ``E_GENES_UNKNOWN``.
    """
    placement, source = tally.placement, tally.source
    placement.require_human(where=source.where)
    placement.require_known(tally.umis, where=source.where, min_share=min_share)
    names = source.gene_names
    audit = {
        "accepted": True,
        "path": str(source.path),
        "sha256": sha256,
        "format": source.format,
        "layer": source.layer,
        "gene_columns": {"ids": names.columns[0], "symbols": names.columns[1]},
        "feature_types": {str(kind): int(n) for kind, n in source.feature_types.items()},
        "other_genome_rows": int(source.other_genome),
        "rounded": bool(source.rounded),
        **_cells(tally),
        **_genes(tally),
    }
    audit["warnings"] = remarks(audit, cell_umis=tally.cell_umis)
    return audit


def _cells(tally: Tally) -> dict:
    umis = tally.cell_umis
    return {
        "cells": tally.cells,
        "genes": len(tally.umis),
        "nonzero": int(tally.nonzero),
        "umis": int(umis.sum(dtype=np.int64)),
        "median_counts": float(np.median(umis)),
        "median_genes": float(np.median(tally.cell_genes)),
        "empty_cells": {
            "n": tally.empty,
            "first": [tally.source.cells.names[cell] for cell in tally.first_empty],
        },
        "deep_cells": int((umis > DEEP).sum()),
    }


def _genes(tally: Tally) -> dict:
    placement, umis = tally.placement, tally.umis
    route = placement.resolution.route
    added = _added_up(placement)
    ambiguous = _named(placement, umis, route == "ambiguous")
    conflicts = [
        conflict._asdict()
        for conflict in placement.resolution.conflicts
        if placement.present[conflict.row]
    ]
    total = int(umis.sum())
    return {
        "measured": int(placement.measured.sum()),
        "vocabulary": len(placement.vocabulary),
        "genes_sha256": placement.vocabulary.sha256,
        "routes": {name: _route(placement, umis, route == name) for name in ROUTES},
        "share_resolved": int(umis[placement.resolved].sum()) / total if total else 0.0,
        "added_up": added[:_LISTED],
        "added_up_genes": len(added),
        "ambiguous": ambiguous[:_LISTED],
        "conflicts": conflicts[:_LISTED],
        "conflicts_total": len(conflicts),
        "unresolved_top": _named(placement, umis, ~placement.resolved)[:_TOP],
    }


def _route(placement: Placement, umis: np.ndarray, rows: np.ndarray) -> dict:
    rows = rows & placement.present
    found, total = int(umis[rows].sum()), int(umis.sum())
    return {
        "genes": int(rows.sum()),
        "umis": found,
        "share": found / total if total else 0.0,
    }


def _named(placement: Placement, umis: np.ndarray, rows: np.ndarray) -> list[dict]:
    """Names and UMIs of `rows`, largest first."""
    chosen = np.flatnonzero(rows & placement.present)
    largest = chosen[np.argsort(-umis[chosen], kind="stable")]
    return [{"name": placement.names[row], "umis": int(umis[row])} for row in largest]


def _added_up(placement: Placement) -> list[dict]:
    """Genes that several rows mean, in the order of the vocabulary, with those rows."""
    rows = np.flatnonzero(placement.resolved)
    index = placement.resolution.index[rows]
    shared = np.flatnonzero(np.bincount(index, minlength=len(placement.vocabulary)) > 1)
    return [
        {
            "gene": placement.vocabulary.symbols[gene],
            "rows": [placement.rows[row] for row in rows[index == gene]],
        }
        for gene in shared
    ]

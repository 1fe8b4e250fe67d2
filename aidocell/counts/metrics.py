"""Scanpy's quality metrics of every cell, chunk by chunk, kept on the disk.

Metrics depend on the cell alone, so chunking changes nothing. Gene sets are those of scanpy's
tutorial: mitochondrial ``MT-``, ribosomal ``RPS`` and ``RPL``, haemoglobin ``HB`` but not ``HBP``.
They go by the symbols of the file; a row that has an id alone counts by the vocabulary's symbol of
that id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.counts.diskarray import DiskArray
from aidocell.counts.names import GeneNames
from aidocell.counts.source import CountSource
from aidocell.genes import Resolver, Vocabulary
from aidocell.genes.ensembl import bare_id
from aidocell.texts import BLOCK

__all__ = ["INTEGERS", "METRICS", "Metrics", "measure"]

METRICS = (
    "n_genes_by_counts",
    "total_counts",
    "pct_counts_mt",
    "pct_counts_ribo",
    "pct_counts_hb",
    "pct_counts_in_top_20_genes",
    "vocabulary_counts",
)
INTEGERS = ("n_genes_by_counts", "total_counts", "vocabulary_counts")
_RECORD = np.dtype([(name, "i8" if name in INTEGERS else "f8") for name in METRICS])
_SETS = {
    "mt": re.compile("MT-"),
    "ribo": re.compile("RP[SL]"),
    "hb": re.compile("HB[^P]"),
}
_TOP = 20


class Metrics:
    """A table of :data:`METRICS` on the disk, one row a cell.

    Parameters
    ----------
    cells
        Rows that will be appended.
    """

    def __init__(self, cells: int) -> None:
        self._records = DiskArray(cells, _RECORD)
        self._filled = 0

    def append(self, table: pd.DataFrame) -> None:
        """Add the cells of a chunk."""
        records = np.empty(len(table), _RECORD)
        for name in METRICS:
            records[name] = table[name]
        self._records[self._filled : self._filled + len(table)] = records
        self._filled += len(table)

    def blocks(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """First cell and table of at most :data:`~aidocell.texts.BLOCK` cells, in order."""
        for start in range(0, self._filled, BLOCK):
            yield start, pd.DataFrame(self._records[start : min(start + BLOCK, self._filled)])

    def known(self, metric: str) -> np.ndarray:
        """One metric of all cells that have a count in the vocabulary, float64."""
        values = np.empty(self._filled)
        stop = 0
        for _, table in self.blocks():
            part = table.loc[table["vocabulary_counts"] > 0, metric]
            values[stop : stop + len(part)] = part
            stop += len(part)
        return values[:stop]


def measure(source: CountSource, vocabulary: Vocabulary) -> Metrics:
    """All metrics of a file's cells."""
    names = source.gene_names
    sets = _gene_sets(names, vocabulary, source.shape[1])
    known = Resolver(vocabulary).resolve(names.ids, names.symbols).index >= 0
    metrics = Metrics(source.shape[0])
    for _, counts in source.chunks():
        metrics.append(_measure_chunk(counts, sets, known))
    return metrics


def _gene_sets(names: GeneNames, vocabulary: Vocabulary, n_genes: int) -> pd.DataFrame:
    """Membership of each row in the sets of genes, shape ``(n_genes, 3)``."""
    symbols = _symbols(names, vocabulary, n_genes)
    return pd.DataFrame(
        {name: [bool(form.match(symbol)) for symbol in symbols] for name, form in _SETS.items()},
        index=pd.RangeIndex(n_genes).astype(str),
    )


def _symbols(names: GeneNames, vocabulary: Vocabulary, n_genes: int) -> Sequence[str]:
    symbols = names.symbols or [""] * n_genes
    ids = names.ids or [""] * n_genes
    known = vocabulary.index_of_ensembl
    return [
        symbol or (vocabulary.symbols[known[bare_id(id)]] if bare_id(id) in known else "")
        for symbol, id in zip(symbols, ids, strict=True)
    ]


def _measure_chunk(
    counts: sparse.csr_matrix, sets: pd.DataFrame, known: np.ndarray
) -> pd.DataFrame:
    import scanpy as sc  # more than a second, and who reads metrics has no need of it

    enough = counts.shape[1] >= _TOP
    chunk = ad.AnnData(counts, var=sets)
    table, _ = sc.pp.calculate_qc_metrics(
        chunk, qc_vars=list(_SETS), percent_top=[_TOP] if enough else None, log1p=False
    )
    if not enough:  # all counts are in the top genes; scanpy refuses to say so
        table["pct_counts_in_top_20_genes"] = np.where(table["total_counts"] > 0, 100.0, np.nan)
    table["vocabulary_counts"] = counts.astype(np.int64) @ known.astype(np.int64)
    return table[list(METRICS)]

"""Quality control: scanpy's metrics for every cell, and which cells to keep, with the reason.

Metrics are computed chunk by chunk; they depend on the cell alone, so chunking changes nothing.
Gene sets are those of scanpy's tutorial: mitochondrial ``MT-``, ribosomal ``RPS`` and ``RPL``,
haemoglobin ``HB`` but not ``HBP``. They go by the symbols of the file; a row that has an id alone
counts by the vocabulary's symbol of that id.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scanpy as sc
from scipy import sparse

from aidocell.counts.doublets import doublet_scores
from aidocell.counts.names import GeneNames
from aidocell.counts.options import InputOptions
from aidocell.counts.source import CountSource, open_counts
from aidocell.counts.thresholds import Rule, Thresholds, bounds, rules
from aidocell.errors import InputError
from aidocell.files import atomic
from aidocell.genes import Resolver, Vocabulary
from aidocell.genes.ensembl import bare_id

__all__ = ["COLUMNS", "qc", "read_qc", "write_qc"]

COLUMNS = (
    "cell",
    "n_genes_by_counts",
    "total_counts",
    "pct_counts_mt",
    "pct_counts_ribo",
    "pct_counts_hb",
    "pct_counts_in_top_20_genes",
    "vocabulary_counts",
    "doublet_score",
    "kept",
    "reason",
)
_METRICS = COLUMNS[1:8]
_SETS = {
    "mt": re.compile("MT-"),
    "ribo": re.compile("RP[SL]"),
    "hb": re.compile("HB[^P]"),
}
_TOP = 20
_NO_COUNT = "no count in the model's genes"
_METADATA = b"aidocell"
_log = logging.getLogger(__name__)


def qc(
    path: str | Path,
    options: InputOptions | None,
    thresholds: dict,
    *,
    vocabulary: Vocabulary | None = None,
) -> pd.DataFrame:
    """Measure every cell of an INPUT and say which to keep.

    Parameters
    ----------
    path, options
        The INPUT and how to read it.
    thresholds
        Keys of :class:`~aidocell.counts.thresholds.Thresholds`; what is missing or ``None`` is
        off.
    vocabulary
        The model's genes; the 19,264 if not given. Cells without a count in them are not kept.

    Returns
    -------
    table
        One row a cell in the order of the file, with :data:`COLUMNS`: counts and genes, shares
        in percent (NaN for a cell without counts), ``doublet_score`` (NaN where it was not
        asked for or the cell was removed before), ``kept``, and ``reason``, several joined by
        ``"; "``. ``attrs["bounds"]`` holds the bounds that were applied, of each metric.

    Raises
    ------
    InputError
        Where the INPUT is not accepted; ``E_CONFIG`` for an unknown threshold; ``E_NO_CELLS``
        where no cell is left, with what each filter took.
    """
    limits = Thresholds.of(thresholds)
    with open_counts(path, options) as source:
        table = _measure(source, vocabulary or Vocabulary.builtin())
        applied = rules(table[table["vocabulary_counts"] > 0], limits)
        reasons = _reasons(table, applied)
        if limits.doublets != "off":
            table["doublet_score"] = _score(source, [not reason for reason in reasons], limits)
            if limits.doublets == "remove":
                applied = [*applied, limits.doublet_rule()]
                reasons = _reasons(table, applied)
    table["kept"] = [not reason for reason in reasons]
    table["reason"] = ["; ".join(reason) for reason in reasons]
    _require_cells(table, path)
    table.attrs["bounds"] = bounds(applied)
    return table


# ---------------------------------------------------------------- metrics


def _measure(source: CountSource, vocabulary: Vocabulary) -> pd.DataFrame:
    """All columns that depend on the counts alone."""
    names = source.gene_names
    sets = _gene_sets(names, vocabulary, source.shape[1])
    known = Resolver(vocabulary).resolve(names.ids, names.symbols).index >= 0
    parts = [_measure_chunk(counts, sets, known) for _, counts in source.chunks()]
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "cell", source.obs.index.to_numpy(dtype=object))
    table["doublet_score"] = np.nan
    return table


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
    enough = counts.shape[1] >= _TOP
    chunk = ad.AnnData(counts, var=sets)
    table, _ = sc.pp.calculate_qc_metrics(
        chunk, qc_vars=list(_SETS), percent_top=[_TOP] if enough else None, log1p=False
    )
    if not enough:  # all counts are in the top genes; scanpy refuses to say so
        table["pct_counts_in_top_20_genes"] = np.where(table["total_counts"] > 0, 100.0, np.nan)
    table["vocabulary_counts"] = counts.astype(np.int64) @ known.astype(np.int64)
    integers = ["n_genes_by_counts", "total_counts", "vocabulary_counts"]
    return table[list(_METRICS)].astype(
        {**dict.fromkeys(_METRICS, float), **dict.fromkeys(integers, np.int64)}
    )


# ---------------------------------------------------------------- decisions


def _reasons(table: pd.DataFrame, applied: Sequence[Rule]) -> list[list[str]]:
    """Why each cell is not kept; empty lists for cells that are."""
    reasons = [[_NO_COUNT] if n == 0 else [] for n in table["vocabulary_counts"]]
    for rule in applied:
        for cell in np.flatnonzero(rule.breaks(table[rule.metric].to_numpy())):
            reasons[cell].append(rule.reason)
    return reasons


def _score(source: CountSource, wanted: Sequence[bool], limits: Thresholds) -> np.ndarray:
    """Doublet scores of the cells that passed the other filters, NaN elsewhere."""
    wanted = np.array(wanted, dtype=bool)
    parts = [counts[wanted[start : start + counts.shape[0]]] for start, counts in source.chunks()]
    scores = np.full(len(wanted), np.nan)
    scores[wanted] = doublet_scores(
        sparse.vstack(parts, format="csr"), seed=limits.seed, where=source.where
    )
    return scores


def _require_cells(table: pd.DataFrame, path: str | Path) -> None:
    if table["kept"].any():
        return
    taken = table["reason"].str.split("; ").explode().value_counts()
    listed = ", ".join(f"{n:,} by '{reason}'" for reason, n in taken.items())
    what = f"no cell of {path} is left after QC ({len(table):,} cells: {listed})"
    raise InputError("E_NO_CELLS", what, fix="loosen the threshold that took most of them")


# ---------------------------------------------------------------- files


def write_qc(path: str | Path, table: pd.DataFrame) -> None:
    """Write the result of :func:`qc` as Parquet, its bounds in the metadata."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    bounds_text = json.dumps({"bounds": table.attrs.get("bounds", {})}).encode()
    # pandas would put attrs into its own metadata as well: one place is enough
    content = content.replace_schema_metadata({_METADATA: bounds_text})
    with atomic(path) as temporary:
        pq.write_table(content, temporary, compression="zstd")


def read_qc(path: str | Path) -> pd.DataFrame:
    """Read what :func:`write_qc` wrote, with ``attrs["bounds"]``; ``E_STORE_DAMAGED``."""
    try:
        content = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        what = f"{path} is torn or changed: {str(error).splitlines()[0]}"
        fix = "delete it and run the same command again"
        raise InputError("E_STORE_DAMAGED", what, fix=fix) from error
    table = content.to_pandas()
    table.attrs.update(json.loads((content.schema.metadata or {}).get(_METADATA, b"{}")))
    return table

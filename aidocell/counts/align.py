"""Counts of a file's genes as counts of a model's genes, in the model's order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.counts.audit import Tally, input_sha256, summarise
from aidocell.counts.celltable import CellTable
from aidocell.counts.contract import Contract, canonical
from aidocell.counts.names import gene_expression_rows, gene_names, other_genome_rows
from aidocell.counts.obs import storable, stored_columns
from aidocell.counts.options import InputOptions
from aidocell.counts.placement import Placement
from aidocell.counts.source import CountSource, open_counts
from aidocell.countstore import StoreWriter
from aidocell.errors import InputError
from aidocell.files import refuse_existing, require_space
from aidocell.genes import Vocabulary
from aidocell.provenance import REVISION, VERSION, run_key

__all__ = ["align", "align_file", "align_source"]

_WHERE = "the AnnData"
_BYTES_A_COUNT = 4  # of a stored count and its gene, compressed; two to three in real data


def align(
    adata: ad.AnnData,
    *,
    genes: Vocabulary | None = None,
    gene_ids: str | None = None,
    min_share: float = 0.5,
) -> ad.AnnData:
    """Place raw counts at the positions of a model's genes.

    Rows that mean one gene are added up; cells without a count are kept. What is already aligned
    stays as it is, or is aligned again where `genes` is another list.

    Parameters
    ----------
    adata
        Raw counts in X, cells × genes, dense or sparse; not changed. Of a multi-modal table the
        gene expression columns are taken.
    genes
        The model's vocabulary, ``model.genes``; the 19,264 genes if not given.
    gene_ids
        Column of var that names the genes.
    min_share
        Share of all counts that has to be on genes of the vocabulary, between 0 and 1.

    Returns
    -------
    aligned
        X: raw counts, CSR, int32, cells × ``len(genes)``. ``var``: index of the symbols,
        ``ensembl_id``, and ``measured``, whether the input measured the gene at all. ``obs`` is
        kept; columns that AnnData cannot store are turned into text.

    Raises
    ------
    InputError
        ``E_NO_CELLS``, ``E_NO_GENES``, ``E_CELL_NAMES``, ``E_FEATURES``, ``E_GENE_COLUMN``,
        ``E_MATRIX_TYPE``, ``E_NOT_FINITE``, ``E_NEGATIVE``, ``E_NOT_COUNTS``, ``E_SPECIES``,
        ``E_GENES_UNKNOWN``.
    """
    adata = adata.to_memory() if adata.isbacked else adata
    _require_cells(adata.obs_names)
    rows = _expression_rows(adata.var)
    counts, var = _counts(adata, rows), adata.var[rows]
    placement = Placement.of(
        var.index, gene_names(var, gene_ids), vocabulary=genes, measured=_measured(var)
    )
    placement.require_human(where=_WHERE)
    umis = np.asarray(counts.sum(axis=0, dtype=np.int64)).ravel()
    placement.require_known(umis, where=_WHERE, min_share=min_share)
    return ad.AnnData(placement.place(counts), obs=storable(adata.obs), var=_var(placement))


def align_file(
    path: str | Path,
    output: str | Path,
    *,
    options: InputOptions | None = None,
    vocabulary: Vocabulary | None = None,
    min_share: float = 0.5,
    overwrite: bool = False,
) -> dict:
    """Align a file into ``counts.zarr.zip``, in memory bounded by a chunk of cells.

    Parameters
    ----------
    path
        Any INPUT.
    output
        ``NAME.zarr.zip``; whole or not there.
    options, vocabulary, min_share
        As for :func:`aidocell.counts.check`.

    Returns
    -------
    audit
        As :func:`aidocell.counts.check` gives it.

    Raises
    ------
    InputError
        What reading and checking raise; ``E_OUTPUT_EXISTS``.
    MachineError
        ``E_DISK_FULL``.
    """
    refuse_existing(output, overwrite=overwrite, inputs=[path])
    options = options or InputOptions()
    with open_counts(path, options) as source:
        return align_source(
            source,
            output,
            made_from=options.made_from(input_sha256(path)),
            vocabulary=vocabulary,
            min_share=min_share,
            overwrite=overwrite,
        )


def align_source(
    source: CountSource,
    output: str | Path,
    *,
    made_from: Mapping[str, Any],
    vocabulary: Vocabulary | None = None,
    kept: np.ndarray | None = None,
    added: CellTable | None = None,
    min_share: float = 0.5,
    overwrite: bool = False,
) -> dict:
    """Align an opened file; as :func:`align_file`.

    Parameters
    ----------
    made_from
        What the file is, as :meth:`aidocell.counts.options.InputOptions.made_from` has it.
    kept
        Which cells to write, boolean, shape ``(n_cells,)``; all if not given. The audit is of the
        whole input all the same.
    added
        Columns to add to the cells, of all cells in their order; they replace columns of the file
        of the same name.

    Raises
    ------
    InputError
        ``E_NO_CELLS``: none is kept; what reading and checking raise.
    """
    _require_some(kept, source.path)
    tally = Tally.of(source, vocabulary=vocabulary)
    rows = np.ones(source.shape[0], bool) if kept is None else kept
    _require_space(output, source, rows)
    provenance = _provenance(source, tally.placement, made_from, kept, added)
    cells = source.cells if added is None else source.cells.joined(added)
    var = _var(tally.placement)
    with StoreWriter(output, var=var, provenance=provenance, overwrite=overwrite) as store:
        for start, counts in source.chunks():
            tally.add(counts)
            aligned = tally.placement.place(counts[rows[start : start + counts.shape[0]]])
            store.append(_narrow(aligned, source.where))
        columns = stored_columns(cells, rows)
        store.write_cells(cells.names.where(rows), columns, index_name=cells.index_name)
        return summarise(tally, sha256=made_from["input_sha256"], min_share=min_share)


def _require_cells(names: pd.Index) -> None:
    """The checks on cells that reading a file makes, for what did not come from a file."""
    if not len(names):
        raise InputError("E_NO_CELLS", f"{_WHERE} has no cells", fix="give one with cells")
    faulty = names[names.duplicated() | (names == "")].unique().astype(str)
    if len(faulty):
        raise InputError(
            "E_CELL_NAMES",
            f"{len(faulty):,} cell names of {_WHERE} repeat or are empty:"
            f" {', '.join(map(repr, faulty[:5]))}",
            fix="make them unique, for example with a prefix by sample",
        )


def _expression_rows(var: pd.DataFrame) -> np.ndarray:
    """Columns of X that are genes of the human genome; shape ``(n_var,)``."""
    if not len(var):
        raise InputError("E_NO_GENES", f"{_WHERE} has no genes", fix="give one with genes")
    rows = gene_expression_rows(var) & ~other_genome_rows(var)
    if not rows.any():
        raise InputError(
            "E_FEATURES",
            f"none of the {len(var):,} features of {_WHERE} is the expression of a human gene",
            fix="give the gene expression of the sample",
        )
    return rows


def _counts(adata: ad.AnnData, rows: np.ndarray) -> sparse.csr_matrix:
    """The columns of X that are genes, as whole numbers, under the raw-count contract."""
    matrix = adata.X if sparse.issparse(adata.X) else np.asarray(adata.X)
    if matrix.dtype.kind not in "iuf":
        raise InputError(
            "E_MATRIX_TYPE",
            f"X of {_WHERE} holds {matrix.dtype} values, not counts",
            fix="put raw counts into X",
        )
    matrix = sparse.csr_matrix(matrix)
    matrix = matrix if rows.all() else matrix[:, rows]
    where = f"X of {_WHERE}"
    contract = Contract(where=where, cells=adata.obs_names, genes=adata.var_names[rows])
    counts = contract.look(canonical(matrix, where=where), first_cell=0)
    contract.raise_first()
    return counts


def _measured(var: pd.DataFrame) -> np.ndarray | None:
    """Which rows were measured, where `var` is that of an aligned table."""
    aligned = {"ensembl_id", "measured"} <= set(var) and var["measured"].dtype == bool
    return var["measured"].to_numpy() if aligned else None


def _var(placement: Placement) -> pd.DataFrame:
    genes = placement.vocabulary
    columns = {"ensembl_id": list(genes.ensembl_ids), "measured": placement.measured}
    return pd.DataFrame(columns, index=pd.Index(genes.symbols, name="symbol"))


def _require_some(kept: np.ndarray | None, path: Path) -> None:
    if kept is not None and not kept.any():
        raise InputError(
            "E_NO_CELLS", f"no cell of {path} is kept", fix="loosen the thresholds of QC"
        )


def _require_space(output: str | Path, source: CountSource, rows: np.ndarray) -> None:
    """Refuse to begin what cannot be finished: the store lies there twice while it is packed."""
    needed = int(2 * _BYTES_A_COUNT * source.stored * rows.mean())
    require_space(output, needed, what=f"{output} with its temporary folder")


def _narrow(counts: sparse.csr_matrix, where: str) -> sparse.csr_matrix:
    """Refuse sums that the store's int32 cannot hold, which no cell reaches."""
    if counts.dtype != np.int32:
        raise InputError(
            "E_NOT_COUNTS",
            f"{where} has {counts.data.max():,} counts of one gene in one cell",
            fix="give raw counts of single cells",
        )
    return counts


def _provenance(
    source: CountSource,
    placement: Placement,
    made_from: Mapping[str, Any],
    kept: np.ndarray | None,
    added: CellTable | None,
) -> dict:
    """What goes into aligned counts, with the key of all that can change them."""
    made_from = {
        "revision": REVISION["align"],
        "genes_sha256": placement.vocabulary.sha256,
        **made_from,
    }
    key = run_key(
        **made_from,
        kept_sha256=None if kept is None else _sha256(CellTable(source.cells.names.where(kept))),
        added_sha256=None if added is None else _sha256(added),
    )
    return {"stage": "align", "version": VERSION, "run_key": key, **made_from}


def _sha256(cells: CellTable) -> str:
    """Of a table of cells as CSV, which is never whole in memory."""
    digest = hashlib.sha256(json.dumps(list(cells.columns)).encode())
    for block in cells.blocks():
        digest.update(block.to_csv(header=False).encode())
    return digest.hexdigest()

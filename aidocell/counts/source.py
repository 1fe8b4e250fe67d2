"""Any INPUT as raw counts, chunk by chunk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.counts import names as naming
from aidocell.counts.anndata_file import open_anndata, verify_if_ours
from aidocell.counts.cells import listed_cells, require_names, select_cells
from aidocell.counts.contract import Contract
from aidocell.counts.matrix import Matrix, require_numbers
from aidocell.counts.opened import Opened
from aidocell.counts.options import InputOptions
from aidocell.counts.probe import probe
from aidocell.counts.tenx import open_10x_folder, open_10x_hdf5
from aidocell.errors import InputError
from aidocell.texts import Texts

__all__ = ["CountSource", "open_counts", "read_counts"]

CHUNK = 4096  # cells
_OPENERS = {
    "h5ad": open_anndata,
    "zarr": open_anndata,
    "zarr-zip": open_anndata,
    "10x-h5": open_10x_hdf5,
    "mtx": open_10x_folder,
}
# Cell Ranger's unfiltered output holds far more barcodes than a run has cells, nearly all empty.
_MANY_BARCODES = 20_000
_EMPTY_BELOW = 50
_EMPTY_SHARE = 0.8


def open_counts(path: str | Path, options: InputOptions | None = None) -> CountSource:
    """Open an INPUT: an h5ad, 10x HDF5 or folder, Zarr AnnData, or aligned counts.

    The file is read first in a child process (:mod:`aidocell.counts.probe`). What is wrong with
    its structure is raised here; values are looked at when chunks are read.

    Parameters
    ----------
    path
        File or folder; its content tells the format.
    options
        How to read it.

    Returns
    -------
    source
        Closes the file at the end of a ``with`` block.

    Raises
    ------
    InputError
        ``E_FILE_*``, ``E_STORE_DAMAGED``, ``E_LAYER_MISSING``, ``E_MATRIX_SHAPE``,
        ``E_MATRIX_TYPE``, ``E_FEATURES``, ``E_NO_CELLS``, ``E_NO_GENES``, ``E_CELL_NAMES``,
        ``E_GENE_COLUMN``.
    """
    options = options or InputOptions()
    path = Path(path)
    wanted = listed_cells(options.cells) if options.cells is not None else None
    verify_if_ours(path)
    located = probe(path)
    opened = _OPENERS[located.kind](located, options.layer)
    try:
        return _source(opened, options, wanted)
    except BaseException:
        opened.close()
        raise


def _source(opened: Opened, options: InputOptions, wanted: Texts | None) -> CountSource:
    _require_fit(opened)
    try:
        return CountSource(opened, options, wanted)
    except InputError:
        opened.matrix.check()  # a ragged or damaged matrix comes before what was found
        raise


def _require_fit(opened: Opened) -> None:
    tables = (len(opened.cells.names), len(opened.var))
    if opened.matrix.shape != tables:
        cells, genes = opened.matrix.shape
        what = (
            f"{opened.where} has {cells:,} cells × {genes:,} genes, but its tables have "
            f"{tables[0]:,} cells and {tables[1]:,} genes"
        )
        fix = "export the file again from where it came from"
        raise InputError("E_MATRIX_SHAPE", what, fix=fix)


class CountSource(AbstractContextManager):
    """Raw counts of an opened file; a context manager.

    Attributes
    ----------
    path, format, layer
        Where the counts are: ``"h5ad"``, ``"10x-h5"``, ``"10x-mtx"``, ``"zarr"`` or ``"counts"``.
    cells
        Table of the cells, after ``--cells``.
    var
        Table of the gene expression rows of the human genome.
    shape
        Cells, genes.
    gene_names
        Ids and symbols of the genes, without genome prefixes.
    feature_types
        All rows of the file by feature type.
    other_genome
        Rows of other genomes, left out.
    measured
        Genes measured at all, of an aligned file; ``None`` otherwise.
    rounded
        Whether estimated counts were rounded in what was read so far.
    """

    def __init__(self, opened: Opened, options: InputOptions, wanted: Texts | None) -> None:
        self.path, self.format, self.layer = opened.path, opened.format, options.layer
        self.where = opened.where
        self._opened, self._options = opened, options
        require_numbers(opened.matrix, opened.where)
        self._columns = self._pick_genes(opened.var)
        self._rows = self._pick_cells(opened.cells.names, wanted)
        self.cells = opened.cells.where(self._rows)
        self.var = opened.var.iloc[self._columns]
        self.measured = None if opened.measured is None else opened.measured[self._columns]
        self.shape = (len(self.cells.names), len(self.var))
        self.gene_names = naming.gene_names(self.var, options.gene_ids)
        self.rounded = False

    @property
    def stored(self) -> int:
        """Counts that the file stores, zeros of a dense one left out of account."""
        return self._opened.matrix.stored

    def __exit__(self, *exc: object) -> None:
        self._opened.close()

    def _pick_genes(self, var: pd.DataFrame) -> np.ndarray:
        if not len(var):
            what = f"{self.where} has no genes"
            raise InputError("E_NO_GENES", what, fix="give a file with genes in it")
        expression = naming.gene_expression_rows(var)
        self.feature_types = naming.count_feature_types(var)
        if not expression.any():
            listed = ", ".join(f"{n:,} {kind}" for kind, n in self.feature_types.items())
            what = f"{self.where} holds no gene expression features ({listed})"
            raise InputError("E_FEATURES", what, fix="give the gene expression matrix")
        chosen = np.flatnonzero(expression)
        other = naming.other_genome_rows(var.iloc[chosen])
        self.other_genome = int(other.sum()) + self._opened.other_genome
        return chosen[~other]

    def _pick_cells(self, cells: Texts, wanted: Texts | None) -> np.ndarray:
        if not len(cells):
            what = f"{self.where} has no cells"
            raise InputError("E_NO_CELLS", what, fix="give a file with cells in it")
        require_names(cells, self.path)
        if wanted is None:
            return np.ones(len(cells), dtype=bool)
        return select_cells(cells, wanted, path=self.path, listing=self._options.cells)

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Raw counts of at most `size` cells at a time, with the number of the first cell.

        Every value of the file is held against the raw-count contract. After a fault the rest of
        the file is looked at without being given, so that the fault that is raised is the first
        in the order not finite, negative, not counts, unfiltered.

        Yields
        ------
        first_cell, counts
            CSR, int32 or int64 where a count needs it, sorted, without stored zeros.

        Raises
        ------
        InputError
            ``E_MATRIX_SHAPE``, ``E_FILE_DAMAGED``, ``E_NOT_FINITE``, ``E_NEGATIVE``,
            ``E_NOT_COUNTS``, ``E_UNFILTERED``.
        """
        contract = self._contract()
        nearly_empty = 0
        for first_cell, values in self._values(size):
            counts = contract.look(values, first_cell=first_cell)
            self.rounded = contract.rounded
            if counts is not None:
                totals = np.asarray(counts.sum(axis=1, dtype=np.int64))
                nearly_empty += int(np.sum(totals < _EMPTY_BELOW))
                yield first_cell, counts
        contract.raise_first()
        self._require_filtered(nearly_empty)

    def _values(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """The chosen cells and genes as the file stores them."""
        first = 0
        all_columns = len(self._columns) == self._opened.matrix.shape[1]
        for start, rows in self._opened.matrix.chunks(size):
            kept = self._rows[start : start + rows.shape[0]]
            rows = rows if kept.all() else rows[kept]
            if rows.shape[0]:
                yield first, rows if all_columns else rows[:, self._columns]
                first += rows.shape[0]

    def _contract(self) -> Contract:
        return Contract(
            where=self.where,
            round=self._options.round,
            cells=self.cells.names,
            genes=self.var.index,
            advice=self._advice,
        )

    def _advice(self) -> str:
        """How to get at another matrix of the file that does hold counts."""
        for advice, matrix in self._opened.others():
            if _begins_with_counts(matrix):
                return advice
        return ""

    def _require_filtered(self, nearly_empty: int) -> None:
        cells = self.shape[0]
        if cells > _MANY_BARCODES and nearly_empty > _EMPTY_SHARE * cells:
            what = (
                f"{self.where} holds droplets before cell calling: {cells:,} barcodes, "
                f"{nearly_empty:,} of them with fewer than {_EMPTY_BELOW} counts"
            )
            fix = "give the filtered matrix, or the barcodes of the cells with --cells"
            raise InputError("E_UNFILTERED", what, fix=fix)


def _begins_with_counts(matrix: Matrix) -> bool:
    """Whether the first cells that are not empty hold raw counts."""
    contract = Contract(where="")
    try:
        require_numbers(matrix, "")
        for first_cell, values in matrix.chunks(512):
            counts = contract.look(values, first_cell=first_cell)
            if counts is None or counts.nnz:
                return counts is not None
    except InputError:
        return False
    return False


def read_counts(
    path: str | Path,
    *,
    layer: str | None = None,
    gene_ids: str | None = None,
    cells: str | Path | None = None,
    round: bool = False,
) -> ad.AnnData:
    """Read raw counts from any INPUT, validated, as one sparse table in memory.

    Parameters
    ----------
    path
        An h5ad, a 10x HDF5 file or matrix folder, a Zarr AnnData, or aligned counts.
    layer
        A layer, or ``"raw"``; X if not given.
    gene_ids
        Column of var that names the genes; checked here, used by :func:`aidocell.align`.
    cells
        File of barcodes to keep.
    round
        Round estimated counts; normalised values are refused all the same.

    Returns
    -------
    adata
        X: raw counts, CSR, cells × genes; ``obs`` and ``var`` as the file has them. Features
        that are not gene expression, and rows of other genomes, are left out.

    Raises
    ------
    InputError
        Where the file is not accepted.
    """
    options = InputOptions(layer, gene_ids, None if cells is None else Path(cells), round)
    with open_counts(path, options) as source:
        counts = sparse.vstack([counts for _, counts in source.chunks()], format="csr")
        with warnings.catch_warnings():
            # symbols need not be unique here: rows of one gene are added up on aligning
            warnings.filterwarnings("ignore", message=".*names are not unique")
            return ad.AnnData(counts, obs=source.cells.frame(), var=source.var)

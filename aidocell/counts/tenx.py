"""10x files: HDF5 of Cell Ranger 1 to 9, and matrix folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import pandas as pd

from aidocell.counts.celltable import CellTable
from aidocell.counts.contract import ragged
from aidocell.counts.damage import reading
from aidocell.counts.formats import Located, mtx_files, open_text
from aidocell.counts.market import MarketMatrix
from aidocell.counts.matrix import SparseByCell
from aidocell.counts.names import is_human, texts
from aidocell.counts.opened import Opened, layer_missing
from aidocell.texts import BLOCK, Texts

__all__ = ["open_10x_folder", "open_10x_hdf5"]

# fields of Cell Ranger 3 and later, and of the versions before
_FEATURE_COLUMNS = {
    "id": "gene_ids",
    "name": "name",
    "feature_type": "feature_types",
    "genome": "genome",
}
_OLD_COLUMNS = {"genes": "gene_ids", "gene_names": "name"}


def open_10x_hdf5(located: Located, layer: str | None) -> Opened:
    """Open a probed 10x HDF5 file.

    Raises
    ------
    InputError
        ``E_LAYER_MISSING``, ``E_MATRIX_SHAPE``, ``E_FILE_DAMAGED``.
    """
    path = located.path
    if layer not in (None, "X"):
        raise layer_missing(path, layer, ["X"])
    with ExitStack() as stack, reading(path, "the file"):
        file = stack.enter_context(h5py.File(path, "r", locking=False))
        group, other_rows = _pick_group(file)
        var = _features(group)
        barcodes = Texts.of(_barcodes(group["barcodes"]))
        opened = Opened(
            path=path,
            format="10x-h5",
            where=str(path),
            matrix=_matrix(group, path),
            cells=CellTable(barcodes),
            var=var,
            other_genome=other_rows,
        )
        opened.close = stack.pop_all().close
        return opened


def _barcodes(array: h5py.Dataset) -> Iterator[str]:
    for start in range(0, len(array), BLOCK):
        yield from texts(array[start : start + BLOCK])


def _pick_group(file: h5py.File) -> tuple[h5py.Group, int]:
    """The matrix; before Cell Ranger 3 one group a genome, of which the human one is read."""
    if "matrix" in file:
        return file["matrix"], 0
    groups = {name: file[name] for name in file if "barcodes" in file[name]}
    name = next(filter(is_human, groups), next(iter(groups)))
    others = sum(len(group["genes"]) for other, group in groups.items() if other != name)
    return groups[name], others


def _features(group: h5py.Group) -> pd.DataFrame:
    source, names = group, _OLD_COLUMNS
    if "features" in group:
        source, names = group["features"], _FEATURE_COLUMNS
    columns = {new: texts(source[old][()]) for old, new in names.items() if old in source}
    return _indexed_by_name(pd.DataFrame(columns, dtype=object))


def _indexed_by_name(table: pd.DataFrame) -> pd.DataFrame:
    """The symbols as index, as scanpy has it; the ids where there are no symbols."""
    key = "name" if "name" in table else "gene_ids"
    table.index = pd.Index(table[key], dtype=object, name=None)
    return table.drop(columns="name", errors="ignore")


def _matrix(group: h5py.Group, path: Path) -> SparseByCell:
    rows, cells = (int(n) for n in group["shape"][()])
    indptr = group["indptr"][()]
    if len(indptr) != cells + 1:
        raise ragged(str(path), f"indptr has {len(indptr):,} entries for {cells:,} cells")
    return SparseByCell(group["data"], group["indices"], indptr, rows, path=path, where=str(path))


# ---------------------------------------------------------------- folders


def open_10x_folder(located: Located, layer: str | None) -> Opened:
    """Open ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` (or ``genes.tsv``), gzipped or not.

    Features have one to three columns or more: id, symbol, feature type.

    Raises
    ------
    InputError
        ``E_LAYER_MISSING``, ``E_FILE_FORMAT``, ``E_FILE_DAMAGED``, ``E_MATRIX_TYPE``.
    """
    if layer not in (None, "X"):
        raise layer_missing(located.path, layer, ["X"])
    matrix, barcodes, features = mtx_files(located.path)
    lines = list(_rows(features))
    table = {
        name: [row[column] if column < len(row) else "" for row in lines]
        for column, name in enumerate(("gene_ids", "name", "feature_types"))
        if not lines or any(column < len(row) for row in lines)
    }
    cells = Texts.of(row[0] for row in _rows(barcodes))
    return Opened(
        path=located.path,
        format="10x-mtx",
        where=str(located.path),
        matrix=MarketMatrix(matrix, n_cells=len(cells), n_genes=len(lines)),
        cells=CellTable(cells),
        var=_indexed_by_name(pd.DataFrame(table, dtype=object)),
    )


def _rows(path: Path) -> Iterator[list[str]]:
    with reading(path, "its lines"), open_text(path) as handle:
        for line in handle:
            yield [part.strip().strip('"') for part in line.rstrip("\r\n").split("\t")]

"""What is known about a sample's cells beside its file: the sheet's columns and a table by barcode."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from aidocell.errors import InputError, printable

__all__ = ["cell_table"]


def cell_table(
    cells: Sequence[str], *, metadata: str | None, columns: Mapping[str, str]
) -> pd.DataFrame:
    """What the sheet and the sample's metadata say about its cells, by barcode.

    Parameters
    ----------
    cells
        Barcodes of the sample.
    metadata
        A TSV, CSV or Parquet with the barcodes in its first column, or None.
    columns
        Further columns of the sheet: one value for all cells.

    Raises
    ------
    InputError
        ``E_SHEET``: metadata that cannot be read, names a cell twice, or shares no cell.
    """
    table = pd.DataFrame(index=pd.Index(cells)) if metadata is None else _metadata(metadata, cells)
    return table.assign(**{key: value for key, value in columns.items() if value})


def _metadata(path: str, cells: Sequence[str]) -> pd.DataFrame:
    table = _read_table(path)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(
            "E_SHEET", f"metadata {path} has cell {twice} twice", fix="keep one line a cell"
        )
    if not table.index.isin(cells).any():
        raise InputError(
            "E_SHEET",
            f"metadata {path} has none of the sample's cells (its first: {table.index[0]}; the sample's: {cells[0]})",
            fix="put the barcodes, spelled as in the sample, into the first column",
        )
    return table.reindex(cells)


def _read_table(path: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise InputError("E_SHEET", f"metadata {path} is no file", fix="check the path")
    try:
        table = _parsed(path)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            "E_SHEET",
            f"metadata {path} cannot be read ({printable(error).split(';')[0]})",
            fix="give a TSV, CSV or Parquet of cells",
        ) from error
    if table.empty:
        raise InputError("E_SHEET", f"metadata {path} is empty", fix="give one line a cell")
    if isinstance(table.index, pd.RangeIndex):
        table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table


def _parsed(path: str) -> pd.DataFrame:
    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    separator = "," if path.removesuffix(".gz").endswith(".csv") else "\t"
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)

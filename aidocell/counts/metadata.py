"""What is known about a sample's cells beside its file: the sheet's columns and a table by barcode."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.extensions import take

from aidocell.counts.celltable import CellTable, Column
from aidocell.errors import InputError, printable
from aidocell.texts import BLOCK, Texts

__all__ = ["cell_table"]


def cell_table(cells: Texts, *, metadata: str | None, columns: Mapping[str, str]) -> CellTable:
    """What the sheet and the sample's metadata say about its cells, in their order.

    The metadata are held in memory, texts as compactly as :class:`~aidocell.texts.Texts`.

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
    read = {} if metadata is None else _metadata(metadata, cells)
    same = {key: partial(Texts.same, value, len(cells)) for key, value in columns.items() if value}
    return CellTable(cells, {**read, **same})


def _metadata(path: str, cells: Texts) -> dict[str, Callable[[], Column]]:
    """How to get at each column of the metadata, a missing value where they lack a cell."""
    table = _read_table(path)
    if twice := table.names.repeated():
        raise InputError(
            "E_SHEET", f"metadata {path} has cell {twice[0]} twice", fix="keep one line a cell"
        )
    places = cells.places_in(table.names)
    if not (places >= 0).any():
        raise InputError(
            "E_SHEET",
            f"metadata {path} has none of the sample's cells (its first: {table.names[0]}; the sample's: {cells[0]})",
            fix="put the barcodes, spelled as in the sample, into the first column",
        )
    return {name: partial(_placed, read, places) for name, read in table.columns.items()}


def _placed(read: Callable[[], Column], places: np.ndarray) -> Column:
    values = read()
    if isinstance(values, Texts):
        return values.at(places)
    return take(values, places, allow_fill=True)


def _read_table(path: str) -> CellTable:
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
    if not len(table.names):
        raise InputError("E_SHEET", f"metadata {path} is empty", fix="give one line a cell")
    return table


def _parsed(path: str) -> CellTable:
    if path.endswith(".parquet"):
        return CellTable.of(_indexed(pd.read_parquet(path)))
    separator = "," if path.removesuffix(".gz").endswith(".csv") else "\t"
    return CellTable.stacked([CellTable.of(_indexed(part)) for part in _blocks(path, separator)])


def _blocks(path: str, separator: str) -> Iterator[pd.DataFrame]:
    with pd.read_csv(
        path, sep=separator, dtype=str, keep_default_na=False, chunksize=BLOCK
    ) as reader:
        yield from reader


def _indexed(table: pd.DataFrame) -> pd.DataFrame:
    """With the barcodes as index, which are the first column unless the header is one short."""
    if isinstance(table.index, pd.RangeIndex) and len(table.columns):
        table = table.set_index(table.columns[0])
    return table

"""Tables of cells that can be stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from aidocell.counts.celltable import CellTable, Column, chosen
from aidocell.texts import Texts

__all__ = ["storable", "stored_columns"]


def storable(obs: pd.DataFrame) -> pd.DataFrame:
    """A table that AnnData can write: numbers, truth values, text and categories of text.

    Anything else (dates, mixed objects) becomes text; what is missing stays missing. Column
    names that a store cannot have are changed: ``a/b`` becomes ``a_b``.
    """
    names = _names(map(str, obs.columns))
    columns = {name: _column(obs.iloc[:, position]) for position, name in enumerate(names)}
    return pd.DataFrame(columns, index=obs.index.astype(str))


def stored_columns(cells: CellTable, kept: np.ndarray) -> Iterator[tuple[str, Column]]:
    """The same of the kept cells of a table, one column after another.

    Parameters
    ----------
    kept
        Boolean, one a cell.
    """
    for name, read in zip(_names(cells.columns), cells.columns.values(), strict=True):
        yield name, chosen(_storable(read()), kept)


def _names(columns: Iterable[str]) -> list[str]:
    taken: dict[str, None] = {}
    for column in columns:
        name = column.replace("/", "_")
        if name == "_index" or not name.strip("."):
            name = f"column{name}"
        while name in taken:
            name += "_"
        taken[name] = None
    return list(taken)


def _storable(values: Column) -> Column:
    if not isinstance(values, Texts):
        return _column(pd.Series(values))._values
    return _categories(values) if values.has_missing else values


def _column(values: pd.Series) -> pd.Series:
    if values.dtype.kind in "biuf":
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        texts = values.cat.categories.astype(str)
        if texts.is_unique:
            return values.cat.rename_categories(texts)
    text = values.astype(str).astype(object).where(values.notna(), None)
    # Text as such cannot be missing in a store, a category can.
    return text.astype("category") if values.isna().any() else text


def _categories(texts: Texts) -> pd.Categorical:
    """Texts of which some are missing, as sorted categories."""
    names = texts.unique().arrow.drop_null().combine_chunks()
    names = names.take(pc.sort_indices(names))
    codes = pc.index_in(texts.arrow, value_set=names).fill_null(-1)
    index = pd.Index(names.to_pylist(), dtype=object)
    return pd.Categorical.from_codes(codes.to_numpy().astype(np.int32), index)

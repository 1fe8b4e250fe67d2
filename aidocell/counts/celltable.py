"""The table of a file's cells: names in memory, each column read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray
from pandas.api.types import infer_dtype

from aidocell.texts import BLOCK, Texts

__all__ = ["CellTable", "Column", "chosen"]

Column = Texts | np.ndarray | ExtensionArray


def chosen(values: Column, rows: np.ndarray) -> Column:
    """The values at the true places of a boolean array."""
    return values.where(rows) if isinstance(values, Texts) else values[rows]


@dataclass(frozen=True, eq=False)
class CellTable:
    """Names of cells and what is known about each.

    Attributes
    ----------
    names
        One a cell.
    columns
        Gives the values of each column, as many as there are names; nothing is kept.
    index_name
        What the file calls the names, if anything.
    """

    names: Texts
    columns: Mapping[str, Callable[[], Column]] = field(default_factory=dict)
    index_name: str | None = None

    @classmethod
    def of(cls, frame: pd.DataFrame) -> CellTable:
        """A table that is in memory already."""
        columns = {str(name): _given(_values(frame[name])) for name in frame}
        return cls(Texts.of(map(str, frame.index)), columns, frame.index.name)

    @classmethod
    def stacked(cls, parts: Sequence[CellTable]) -> CellTable:
        """Tables with equal columns, all of text, one after another."""
        columns = {
            name: _given(Texts.joined([part.columns[name]() for part in parts]))
            for name in parts[0].columns
        }
        return cls(Texts.joined([part.names for part in parts]), columns)

    def where(self, rows: np.ndarray) -> CellTable:
        """The cells at the true places of a boolean array, shape ``(len(names),)``."""
        if rows.all():
            return self
        columns = {name: partial(_chosen, read, rows) for name, read in self.columns.items()}
        return CellTable(self.names.where(rows), columns, self.index_name)

    def joined(self, added: CellTable) -> CellTable:
        """With the columns of another table of the same cells, which win over equal ones here."""
        return CellTable(self.names, {**self.columns, **added.columns}, self.index_name)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Some or all of the columns as pandas has them, in memory as a whole."""
        wanted = self.columns if columns is None else columns
        values = {name: _plain(self.columns[name]()) for name in wanted}
        return pd.DataFrame(values, index=self.names.to_index().rename(self.index_name))

    def blocks(self) -> Iterator[pd.DataFrame]:
        """All columns, a block of cells at a time; the columns themselves are held."""
        values = {name: read() for name, read in self.columns.items()}
        for start, names in zip(range(0, len(self.names), BLOCK), self.names.blocks(), strict=True):
            part = {name: _plain(column[start : start + BLOCK]) for name, column in values.items()}
            yield pd.DataFrame(part, index=pd.Index(names, dtype=object))


def _given(values: Column) -> Callable[[], Column]:
    return lambda: values


def _values(series: pd.Series) -> Column:
    if series.dtype == object and infer_dtype(series, skipna=True) in ("string", "empty"):
        return Texts(pa.array(series, pa.large_string(), from_pandas=True))
    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array


def _chosen(read: Callable[[], Column], rows: np.ndarray) -> Column:
    return chosen(read(), rows)


def _plain(values: Column) -> Column:
    """Texts as an array of Python strings, what is missing as NaN, as pandas has it."""
    if not isinstance(values, Texts):
        return values
    array = np.array(values.arrow.to_pylist(), dtype=object)
    array[[value is None for value in array]] = np.nan
    return array

"""A sealed Parquet table of cells, read one column or a few cells at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aidocell.rows import RANGE
from aidocell.tables import about_table, verify_table

__all__ = ["Columns"]


class Columns:
    """Columns that are read when they are asked for, as ``table[name]``; of no table is all in memory.

    Attributes
    ----------
    attrs
        What the table was made from and how.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_STORE_DAMAGED``.
    """

    def __init__(self, path: str | Path) -> None:
        verify_table(path)
        self._path = Path(path)
        self.attrs = about_table(path)
        described = pq.read_metadata(path)
        self._names, self._rows = described.schema.to_arrow_schema().names, described.num_rows

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> pd.Series:
        """One column; the few texts of ``reason`` as categories."""
        if name == "reason":
            table = pq.read_table(self._path, columns=[name], read_dictionary=[name])
            return table.to_pandas()[name]
        with self._opened() as file:
            dtype = file.schema_arrow.field(name).type.to_pandas_dtype()
        values, filled = np.empty(len(self), dtype), 0
        for part in self._ranges(name):
            values[filled : filled + len(part)] = part.to_numpy(zero_copy_only=False)
            filled += len(part)
        return pd.Series(values, name=name)

    def of(self, cells: pd.Index, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of some cells, indexed by cell; cells that the table lacks are missing values."""
        wanted, names = [np.zeros(0, bool)], []
        for part in self._ranges("cell"):
            found = pd.Index(part.to_pandas())
            wanted.append(found.isin(cells))
            names += found[wanted[-1]].tolist()
        marked = np.concatenate(wanted)
        values = {name: self[name].to_numpy()[marked] for name in columns}
        table = pd.DataFrame(values, index=pd.Index(names, dtype=object))
        return table[~table.index.duplicated()].reindex(cells)

    def _ranges(self, name: str) -> Iterator[pa.Array]:
        """One column, a range of cells at a time."""
        with self._opened() as file:
            for batch in file.iter_batches(RANGE, columns=[name], use_threads=False):
                yield batch[name]

    def _opened(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._path, pre_buffer=False)  # or it reads far ahead

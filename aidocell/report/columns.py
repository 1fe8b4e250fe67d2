"""A sealed Parquet table of cells, read one column or a few cells at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
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
        with pq.ParquetFile(self._path) as file:
            dtype = file.schema_arrow.field(name).type.to_pandas_dtype()
            values, filled = np.empty(len(self), dtype), 0
            for batch in file.iter_batches(RANGE, columns=[name]):
                values[filled : filled + len(batch)] = batch[name].to_numpy(zero_copy_only=False)
                filled += len(batch)
        return pd.Series(values, name=name)

    def of(self, cells: pd.Index, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of some cells, indexed by cell; cells that the table lacks are missing values."""
        names = ["cell", *columns]
        with pq.ParquetFile(self._path) as file:
            parts = [file.schema_arrow.empty_table().to_pandas()[names]]
            for batch in file.iter_batches(RANGE, columns=names):
                part = batch.to_pandas()
                parts.append(part[part["cell"].isin(cells)])
        table = pd.concat(parts, ignore_index=True).set_index("cell")[list(columns)]
        return table[~table.index.duplicated()].reindex(cells)

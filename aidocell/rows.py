"""Rows of stored arrays and tables: chosen by a mask, read and copied a range at a time.

Tables are copied as anndata encodes them, array by array, so that what was a category or a missing
value stays one and no table is ever whole in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem

__all__ = ["RANGE", "copy_table", "index_of", "new_array", "read_table", "rows_of"]

RANGE = 1 << 16  # rows held in memory at a time, and in one Zarr chunk of a table
_ELEMENTS = 1 << 20  # in one Zarr chunk of a matrix
_DENSE = {"encoding-type": "array", "encoding-version": "0.2.0"}


def rows_of(array: zarr.Array, keep: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of `array` that the mask `keep` marks, in order, a range at a time."""
    step = rows_per_chunk(array.shape)
    for start in range(0, len(keep), step):
        wanted = keep[start : start + step]
        if wanted.any():
            yield array[start : start + step][wanted]


def new_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    attributes: Mapping[str, Any] = _DENSE,
) -> zarr.Array:
    """An array to fill; its chunks depend on its shape alone, so that equal work gives equal bytes."""
    return group.create_array(
        name,
        shape=shape,
        chunks=(rows_per_chunk(shape), *(max(n, 1) for n in shape[1:])),
        dtype=dtype,
        attributes=dict(attributes),
        config={"write_empty_chunks": True},
    )


def rows_per_chunk(shape: tuple[int, ...]) -> int:
    """Rows of an array of this shape that lie in one Zarr chunk."""
    most = RANGE if len(shape) == 1 else _ELEMENTS // max(math.prod(shape[1:]), 1)
    return max(min(most, shape[0]), 1)


def index_of(table: zarr.Group) -> zarr.Array:
    """The names of a stored table's rows."""
    return table[table.attrs["_index"]]


def read_table(
    table: zarr.Group, keep: np.ndarray, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The marked rows of a stored table, with some of its columns or all."""
    target = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)
    copy_table(table, target, keep, columns)
    return read_elem(target)


def copy_table(
    table: zarr.Group,
    target: zarr.Group,
    keep: np.ndarray,
    columns: Sequence[str] | None = None,
) -> None:
    """Copy the marked rows of a stored table into an empty group.

    Parameters
    ----------
    keep
        Boolean, shape ``(rows,)``.
    columns
        Names of columns; None means all.
    """
    names = list(table.attrs["column-order"]) if columns is None else list(columns)
    target.attrs.update({**table.attrs, "column-order": names})
    for name in dict.fromkeys([table.attrs["_index"], *names]):
        _copy_column(table[name], target, name, keep)


def _copy_column(
    column: zarr.Array | zarr.Group, target: zarr.Group, name: str, keep: np.ndarray
) -> None:
    if isinstance(column, zarr.Array):
        _copy_array(column, target, name, keep)
        return
    copy = target.create_group(name, attributes=dict(column.attrs))
    for part, array in sorted(column.arrays()):
        # a category's code stands for its place among all categories, used or not
        every = np.ones(array.shape[0], bool) if part == "categories" else keep
        _copy_array(array, copy, part, every)


def _copy_array(source: zarr.Array, target: zarr.Group, name: str, keep: np.ndarray) -> None:
    shape, dtype = (int(keep.sum()),), source.metadata.data_type
    copy = new_array(target, name, shape, dtype, source.attrs)
    written = 0
    for part in rows_of(source, keep):
        copy[written : written + len(part)] = part
        written += len(part)

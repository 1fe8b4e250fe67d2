"""The tables of cells and genes in AnnData files, of today's and of older encodings.

The table of genes is read whole. Of the table of cells, which may have millions of rows, the names
are held; a column is read once for a look, and again by whoever needs it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem

from aidocell.counts.celltable import CellTable, Column
from aidocell.counts.damage import damaged, reading
from aidocell.counts.names import texts
from aidocell.texts import BLOCK, Texts

__all__ = ["Node", "attribute", "read_cells", "read_frame"]

Node = h5py.Group | h5py.Dataset | zarr.Group | zarr.Array


def attribute(node: Node, name: str, default: object = None) -> object:
    """An attribute of a group or array, text decoded."""
    value = node.attrs.get(name, default)
    return value.decode() if isinstance(value, bytes) else value


def read_frame(root: Node, name: str, *, path: Path) -> pd.DataFrame:
    """Read ``obs`` or ``var``: its index as text, every column as anndata would.

    Parameters
    ----------
    root
        The AnnData group, or ``raw``.
    name
        Name of the table in `root`.
    path
        The file, for messages.

    Raises
    ------
    InputError
        ``E_FILE_DAMAGED``, naming the column that cannot be read.
    """
    with reading(path, name):
        node = root[name]
        if hasattr(node, "shape"):
            return _read_compound(root, node, name)
    return _read_group(node, name, path)


def _read_group(group: Node, name: str, path: Path) -> pd.DataFrame:
    key, columns = _column_names(group, name, path)
    index = _read_column(group, name, key, path)
    values = {column: _read_column(group, name, column, path) for column in columns}
    for column, content in values.items():
        _require_length(content, len(index), f"{name}/{column}", path)
    frame = pd.DataFrame(values, index=pd.Index(texts(index), dtype=object))
    frame.index.name = _index_name(key)
    return frame


def _column_names(group: Node, name: str, path: Path) -> tuple[str, list[str]]:
    """Where the index is, and the columns in their order."""
    with reading(path, name):
        key = attribute(group, "_index", "_index")
        order = group.attrs.get("column-order")
        columns = texts(np.atleast_1d(order)) if order is not None else sorted(group.keys())
    return key, [column for column in columns if column not in (key, "__categories")]


def _index_name(key: str) -> str | None:
    return None if key in ("_index", "index") else key


def _require_length(content: Column, rows: int, part: str, path: Path) -> None:
    if len(content) != rows:
        raise damaged(path, f"{part} has {len(content):,} values for {rows:,} rows")


# ---------------------------------------------------------------- cells


def read_cells(root: Node, *, path: Path) -> CellTable:
    """Read ``obs``: the names of the cells, and how to get at each column.

    Every column is looked at, one after another; texts are never all Python strings.

    Raises
    ------
    InputError
        ``E_FILE_DAMAGED``, naming the column that cannot be read.
    """
    with reading(path, "obs"):
        node = root["obs"]
        if hasattr(node, "shape"):
            return CellTable.of(_read_compound(root, node, "obs"))
    key, columns = _column_names(node, "obs", path)
    names = _read_names(node, key, path)
    readers = {column: partial(_read_cell_column, node, column, path) for column in columns}
    for column, read in readers.items():
        _require_length(read(), len(names), f"obs/{column}", path)
    return CellTable(names, readers, _index_name(key))


def _read_names(group: Node, key: str, path: Path) -> Texts:
    with reading(path, f"obs/{key}"):
        node = group[key]
        if _is_text(node):
            return Texts.of(name for block in _text_blocks(node) for name in texts(block))
    return Texts.of(texts(_read_column(group, "obs", key, path)))


def _read_cell_column(group: Node, column: str, path: Path) -> Column:
    with reading(path, f"obs/{column}"):
        node = group[column]
        if _is_text(node):
            return Texts.of(text for block in _text_blocks(node) for text in block)
    return _read_column(group, "obs", column, path)


def _is_text(node: Node) -> bool:
    return (
        attribute(node, "encoding-type") == "string-array"
        and getattr(node, "ndim", 0) == 1
        and "categories" not in node.attrs
    )


def _text_blocks(node: h5py.Dataset | zarr.Array) -> Iterator[np.ndarray]:
    """The texts of an array in blocks, each as long as a chunk of the file at least."""
    array = node.asstr() if isinstance(node, h5py.Dataset) else node
    step = max(BLOCK, (node.chunks or (0,))[0])
    for start in range(0, node.shape[0], step):
        yield array[start : start + step].astype(object)


def _read_column(group: Node, table: str, column: str, path: Path) -> object:
    with reading(path, f"{table}/{column}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the file is old
        node = group[column]
        values = _read_elem(node)
        if "categories" in node.attrs:  # anndata 0.7 kept them in a group beside the columns
            names = _read_elem(group["__categories"][column])
            ordered = bool(attribute(group["__categories"][column], "ordered", False))
            values = pd.Categorical.from_codes(values, names, ordered=ordered)
        if not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
            raise ValueError("it is not one value a row")
        return values


def _read_elem(node: Node) -> object:
    try:
        return read_elem(node)
    except Exception as error:  # the class that anndata raises on an unknown encoding is private
        raise ValueError(str(error)) from error


def _read_compound(root: Node, node: Node, name: str) -> pd.DataFrame:
    """Tables before anndata 0.7: one array of records, categories in ``uns``."""
    records = node[()]
    columns = {field: _plain(records[field]) for field in records.dtype.names}
    key = next(iter(columns))
    index = pd.Index(texts(columns.pop(key)), dtype=object)
    uns = root.get("uns", {})
    for column, values in columns.items():
        if f"{column}_categories" in uns and values.dtype.kind in "iu":
            categories = texts(np.atleast_1d(uns[f"{column}_categories"][()]))
            columns[column] = pd.Categorical.from_codes(values, categories)
    return pd.DataFrame(columns, index=index)


def _plain(values: np.ndarray) -> np.ndarray:
    return np.array(texts(values), dtype=object) if values.dtype.kind in "SO" else values

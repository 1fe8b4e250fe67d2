"""The tables of cells and genes in AnnData files, of today's and of older encodings."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem

from aidocell.counts.damage import damaged, reading
from aidocell.counts.names import texts

__all__ = ["Node", "attribute", "read_frame"]

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
    with reading(path, name):
        key = attribute(group, "_index", "_index")
        order = group.attrs.get("column-order")
        columns = texts(np.atleast_1d(order)) if order is not None else sorted(group.keys())
    index = _read_column(group, name, key, path)
    values = {
        column: _read_column(group, name, column, path)
        for column in columns
        if column not in (key, "__categories")
    }
    for column, content in values.items():
        if len(content) != len(index):
            why = f"{name}/{column} has {len(content):,} values for {len(index):,} rows"
            raise damaged(path, why)
    frame = pd.DataFrame(values, index=pd.Index(texts(index), dtype=object))
    frame.index.name = None if key in ("_index", "index") else key
    return frame


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

"""A stored AnnData written as HDF5: the same elements in the same encoding, a range of rows at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from aidocell.rows import rows_per_chunk

__all__ = ["copy_group", "new_h5ad"]


@contextmanager
def new_h5ad(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file to fill.

    Raises
    ------
    OSError
        A write failed, be it while the file was closed, or one that HDF5 did not tell of: it
        swallows what fails where an object is let go.
    """
    with _Disk(path, "w+") as disk:
        try:
            with h5py.File(disk, "w") as file:
                yield file
        finally:
            if disk.failure:
                raise disk.failure


class _Disk(io.FileIO):
    """A file that remembers the first write that failed."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = self.failure or error
            raise
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            raise


def copy_group(source: zarr.Group, target: h5py.Group) -> None:
    """Copy every group, array and attribute, in memory bounded by a range of rows."""
    target.attrs.update(_attributes(source.attrs))
    for name, element in sorted(source.members()):
        if isinstance(element, zarr.Group):
            copy_group(element, target.create_group(name))
        else:
            _copy_array(element, target, name)


def _copy_array(source: zarr.Array, target: h5py.Group, name: str) -> None:
    if source.attrs.get("encoding-type") == "null":
        copy = target.create_dataset(name, data=h5py.Empty("f4"))
    elif source.shape:
        copy = _copy_rows(source, target, name)
    else:
        copy = target.create_dataset(name, data=source[()], dtype=_dtype(source))
    copy.attrs.update(_attributes(source.attrs))


def _copy_rows(source: zarr.Array, target: h5py.Group, name: str) -> h5py.Dataset:
    step, dtype = rows_per_chunk(source.shape), _dtype(source)
    chunks = (step, *source.shape[1:]) if source.size else None  # HDF5 has no empty chunks
    packed = {"chunks": chunks, "compression": "gzip"} if chunks else {}
    copy = target.create_dataset(name, source.shape, dtype, **packed)
    for start in range(0, source.shape[0], step):
        copy[start : start + step] = source[start : start + step].astype(dtype)
    return copy


def _dtype(array: zarr.Array) -> np.dtype:
    return h5py.string_dtype() if array.dtype.kind in "TO" else array.dtype


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of text, also empty ones, are arrays of text in HDF5."""
    return {
        name: np.array(value, dtype=h5py.string_dtype())
        if isinstance(value, list) and all(isinstance(item, str) for item in value)
        else value
        for name, value in given.items()
    }

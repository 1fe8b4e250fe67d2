"""The child process of :mod:`aidocell.counts.probe`: reads a file before anybody trusts it.

It answers on stdout, as JSON: the kind of the file, or the error that it deserves.
"""

from __future__ import annotations

import json
import math
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from aidocell.counts.damage import damaged, reading
from aidocell.counts.formats import Located, mtx_files, open_text
from aidocell.counts.limits import confine, most_gib
from aidocell.errors import InputError

if TYPE_CHECKING:  # each is imported where it is needed, so that the child starts fast
    import h5py
    import zarr

    Array = h5py.Dataset | zarr.Array

_BLOCK = 4 << 20  # bytes read at a time
_PER_PART = 64 << 20  # bytes read of one array of a matrix
_TABLES = ("obs", "var", "raw.var", "raw/var")
_MATRICES = ("X", "layers", "raw.X", "raw/X")
_PACKING = ("filters", "compressor", "codecs")  # of Zarr's versions 2 and 3


def _main(path: str, kind: str, root: str) -> None:
    confine()
    try:
        with reading(path, "the file"):
            answer = {"kind": _PROBES[kind](Located(Path(path), kind, root))}
    except InputError as error:
        answer = {"error": [error.id, error.what, error.fix]}
    sys.stdout.write(json.dumps(answer))


def _kind(path: Path, what: str, fix: str) -> InputError:
    return InputError("E_FILE_FORMAT", f"{path} is {what}", fix=fix)


# ---------------------------------------------------------------- HDF5


def _probe_hdf5(located: Located) -> str:
    import h5py

    from aidocell.counts import links

    path = located.path
    with reading(path, "the file"):
        file = h5py.File(path, "r", locking=False)
    with file, reading(path, "its structure"):
        kind = _hdf5_kind(path, set(file))
        links.refuse_hdf5_links(path, file)
        _read_all(path, _hdf5_parts(file) if kind == "h5ad" else _hdf5_arrays(file, "", set()))
    return kind


def _hdf5_kind(path: Path, names: set[str]) -> str:
    if "mod" in names and "X" not in names:
        raise _kind(path, "a MuData file", "save its RNA modality as .h5ad")
    if {"obs", "var"} <= names:
        return "h5ad"
    if {"row_attrs", "col_attrs"} & names:
        raise _kind(path, "a Loom file", "save it as .h5ad")
    if "barcode_info" in names or "molecule_idx" in names:
        raise _kind(path, "a 10x molecule_info file", "give filtered_feature_bc_matrix.h5")
    if {"assays", "cell.names"} <= names:
        raise _kind(path, "an h5Seurat file", "convert it to .h5ad")
    if "matrix" in names or _has_10x_groups(path):
        return "10x-h5"
    listed = ", ".join(sorted(names)[:5]) or "nothing"
    raise _kind(
        path, f"HDF5 without a count matrix (it holds {listed})", "give an .h5ad or 10x .h5"
    )


def _has_10x_groups(path: Path) -> bool:
    """Cell Ranger 1 and 2 wrote one group a genome."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        groups = [file[name] for name in hard]
        return any(isinstance(group, h5py.Group) and "barcodes" in group for group in groups)


def _hdf5_parts(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """The data sets that an AnnData's tables and matrices are read from, soft links followed."""
    for name in (*_TABLES, *_MATRICES):
        if name in file:
            yield from _hdf5_arrays(file[name], name, set())
    for name in file.get("uns", ()):
        if name.endswith("_categories"):  # of tables before anndata 0.7
            yield from _hdf5_arrays(file["uns"][name], f"obs/{name}", set())


def _hdf5_arrays(node: object, name: str, seen: set[int]) -> Iterator[tuple[str, h5py.Dataset]]:
    """Data sets at and under a node, by their names; groups may form a circle."""
    import h5py

    if isinstance(node, h5py.Dataset):
        yield name, node
    elif isinstance(node, h5py.Group):
        address = h5py.h5o.get_info(node.id).addr
        if address not in seen:
            seen.add(address)
            for member in node:
                yield from _hdf5_arrays(node[member], f"{name}/{member}".lstrip("/"), seen)


def _require_filters(path: Path, name: str, data: h5py.Dataset) -> None:
    import h5py

    plist = data.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _, _, title = plist.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            what = f"compressed with {title.decode() or code}, which is not installed ({name})"
            raise _kind(path, what, "save it again with gzip compression")


def _require_stored(data: h5py.Dataset) -> None:
    """What was declared and never written would read as zeros without a word, or for ever."""
    if not data.size:
        return
    if data.chunks is None:
        expected, stored = data.size * data.id.get_type().get_size(), data.id.get_storage_size()
    else:
        sizes = zip(data.shape, data.chunks, strict=True)
        expected = math.prod(-(-length // chunk) for length, chunk in sizes)
        stored = data.id.get_num_chunks()
    if stored < expected:
        raise ValueError(f"{data.size:,} values are declared, and they were never written")


# ---------------------------------------------------------------- Zarr


def _probe_zarr(located: Located) -> str:
    from aidocell.counts import links

    _require_anndata(located.path, {part.name for part in located.path.iterdir()})
    links.refuse_folder_links(located.path)
    import zarr

    with reading(located.path, "the Zarr store"):
        group = zarr.open_group(located.path, mode="r")
    _read_zarr(located, group)
    return located.kind


def _probe_zip(located: Located) -> str:
    from aidocell.counts import links

    path = located.path
    with reading(path, "its zip directory"):
        links.refuse_zip_links(path)
    with reading(path, "the zip"), zipfile.ZipFile(path) as archive:
        if (broken := archive.testzip()) is not None:
            raise damaged(path, f"the checksum of {broken} is wrong")
    import zarr

    with reading(path, "the Zarr store"), zarr.storage.ZipStore(path, mode="r") as store:
        _read_zarr(located, zarr.open_group(store, path=located.root, mode="r"))
    return located.kind


def _require_anndata(path: Path, names: set[str]) -> None:
    if not {"obs", "var"} <= names:
        listed = ", ".join(sorted(names)[:5]) or "nothing"
        what = f"a Zarr store, but no AnnData (it holds {listed})"
        raise _kind(path, what, "save an AnnData with write_zarr")


def _read_zarr(located: Located, group: zarr.Group) -> None:
    with reading(located.path, "its metadata"):
        names = set(group)
        arrays = [
            array for name in (*_TABLES, *_MATRICES) for array in _zarr_arrays(group.get(name))
        ]
    _require_anndata(located.path, names)
    root = f"{group.path}/" if group.path else ""
    _read_all(located.path, ((array.path.removeprefix(root), array) for array in arrays))


def _zarr_arrays(part: zarr.Group | zarr.Array | None) -> list[zarr.Array]:
    """A part that is an array, or all arrays under a group; none where it is not there."""
    import zarr

    if part is None or isinstance(part, zarr.Array):
        return [] if part is None else [part]
    members = (member for _, member in part.members(max_depth=None))
    return [member for member in members if isinstance(member, zarr.Array)]


def _require_no_pickle(path: Path, name: str, array: zarr.Array) -> None:
    packing = {k: v for k, v in array.metadata.to_dict().items() if k in _PACKING}
    if "pickle" in str(packing):
        what = f"packed with pickle, which could run anything ({name})"
        raise _kind(path, what, "have it saved with write_zarr of a current anndata")


# ---------------------------------------------------------------- matrix folders


def _probe_mtx(located: Located) -> str:
    """The tables whole, and the beginning of the matrix; its numbers are read from text later."""
    matrix, *tables = mtx_files(located.path)
    with reading(matrix, "its lines"), open_text(matrix) as handle:
        handle.read(_PER_PART)
    for table in tables:
        with reading(table, "its lines"), open_text(table) as handle:
            _read_text(handle)
    return located.kind


def _read_text(handle: IO[str]) -> None:
    """Lines in memory take several times what they take as text."""
    left = most_gib() * 2**30 / 8
    while block := handle.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise MemoryError


# ---------------------------------------------------------------- arrays of both


def _read_all(path: Path, arrays: Iterator[tuple[str, Array]]) -> None:
    """Read tables and pointers whole, and of each matrix the first part and the end."""
    for name, array in arrays:
        hdf5 = hasattr(array, "id")
        (_require_filters if hdf5 else _require_no_pickle)(path, name, array)
        with reading(path, name):
            if hdf5:
                _require_stored(array)
            _read(array, most=_PER_PART if _is_matrix(name) else most_gib() * 2**30)


def _is_matrix(name: str) -> bool:
    """Whether it is read by cells later, and no table or pointer."""
    if name.startswith(_MATRICES):
        return not name.endswith("/indptr")
    return name.endswith(("/data", "/indices")) and not name.startswith(_TABLES)


def _read(array: Array, *, most: float) -> None:
    """Read at most so many bytes of an array by blocks, and its end; a table has to fit in them."""
    if array.shape is None or not array.shape:
        array[()]
        return
    row = max(array.dtype.itemsize, 1) * max(math.prod(array.shape[1:]), 1)
    last = array.shape[0]
    if most > _PER_PART and last * row > most:
        raise MemoryError
    rows = max(_BLOCK // row, 1)
    for start in range(0, min(last, max(int(most) // row, 1)), rows):
        array[start : start + rows]
    array[max(last - rows, 0) :]


_PROBES = {"hdf5": _probe_hdf5, "zarr": _probe_zarr, "zarr-zip": _probe_zip, "mtx": _probe_mtx}

if __name__ == "__main__":
    _main(*sys.argv[1:])

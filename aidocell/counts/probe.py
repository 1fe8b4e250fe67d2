"""Read a file first in a child process, with a time limit.

A broken file can crash or hang the HDF5 library (or a decompressor). The child opens the file,
refuses links that leave it and reads the parts that a count matrix consists of, up to 64 MiB of
each; only a file that it got through is opened in this process.

``AIDOCELL_PROBE_SECONDS`` sets the time limit, 120 by default: raise it for very slow disks.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aidocell.counts.damage import damaged, reading
from aidocell.counts.formats import Located, locate
from aidocell.errors import InputError

if TYPE_CHECKING:  # each is imported where it is needed, so that the child starts fast
    import h5py
    import zarr

__all__ = ["probe"]

_SECONDS = 120.0
_BLOCK = 4 << 20  # bytes read at a time
_PER_PART = 64 << 20  # bytes read of one array
_PARTS = ("X", "layers", "raw", "raw.X", "raw.var", "obs", "var")


def probe(path: str | Path) -> Located:
    """Tell what `path` holds, with HDF5 told apart into ``"h5ad"`` and ``"10x-h5"``.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_FILE_FORMAT``, ``E_FILE_LINK``, ``E_FILE_DAMAGED`` or
        ``E_STORE_DAMAGED``.
    """
    located = locate(path)
    if located.kind == "mtx":  # text, read by this package itself
        return located
    answer = _ask_child(located)
    if "error" in answer:
        id, what, fix = answer["error"]
        raise InputError(id, what, fix=fix)
    return Located(located.path, answer["kind"], located.root)


def _command(located: Located) -> list[str]:
    # -P: a module of the user's working folder must not come before an installed one
    return [sys.executable, "-P", "-m", __name__, str(located.path), located.kind, located.root]


def _limit() -> float:
    given = os.environ.get("AIDOCELL_PROBE_SECONDS") or _SECONDS
    with suppress(ValueError):
        if 0 < (seconds := float(given)) < threading.TIMEOUT_MAX:
            return seconds
    what = f"AIDOCELL_PROBE_SECONDS is '{given}'"
    raise InputError("E_USAGE", what, fix="give a number of seconds, or unset it")


def _ask_child(located: Located) -> dict:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    limit = _limit()
    try:
        child = subprocess.run(
            _command(located), capture_output=True, env=environment, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise damaged(
            located.path,
            f"reading it took over {limit:g} seconds (AIDOCELL_PROBE_SECONDS is the limit)",
        ) from error
    if child.returncode < 0:
        raise damaged(
            located.path, f"it crashes the library that reads it (signal {-child.returncode})"
        )
    if child.returncode > 0:
        raise RuntimeError(f"probing {located.path} failed:\n{child.stderr.decode()}")
    return json.loads(child.stdout)


# ---------------------------------------------------------------- in the child


def _main(path: str, kind: str, root: str) -> None:
    try:
        answer = {"kind": _PROBES[kind](Located(Path(path), kind, root))}
    except InputError as error:
        answer = {"error": [error.id, error.what, error.fix]}
    sys.stdout.write(json.dumps(answer))


def _probe_hdf5(located: Located) -> str:
    import h5py

    from aidocell.counts import links

    path = located.path
    with reading(path, "the file"):
        file = h5py.File(path, "r", locking=False)
    with file, reading(path, "its structure"):
        kind = _hdf5_kind(path, set(file))
        links.refuse_hdf5_links(path, file)
        for data in links.datasets(path, file):
            if kind != "h5ad" or data.name.split("/")[1] in _PARTS:
                _require_filters(path, data)
                with reading(path, data.name):
                    _read(data)
    return kind


def _hdf5_kind(path: Path, names: set[str]) -> str:
    if {"obs", "var"} <= names:
        return "h5ad"
    if "mod" in names:
        raise _kind(path, "a MuData file", "save its RNA modality as .h5ad")
    if {"row_attrs", "col_attrs"} & names:
        raise _kind(path, "a Loom file", "save it as .h5ad")
    if "barcode_info" in names or "molecule_idx" in names:
        raise _kind(path, "a 10x molecule_info file", "give filtered_feature_bc_matrix.h5")
    if "matrix" in names or _has_10x_groups(path):
        return "10x-h5"
    listed = ", ".join(sorted(names)[:5]) or "nothing"
    raise _kind(
        path, f"HDF5 without a count matrix (it holds {listed})", "give an .h5ad or 10x .h5"
    )


def _kind(path: Path, what: str, fix: str) -> InputError:
    return InputError("E_FILE_FORMAT", f"{path} is {what}", fix=fix)


def _has_10x_groups(path: Path) -> bool:
    """Cell Ranger 1 and 2 wrote one group a genome."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        groups = [file[name] for name in hard]
        return any(isinstance(group, h5py.Group) and "barcodes" in group for group in groups)


def _require_filters(path: Path, data: h5py.Dataset) -> None:
    import h5py

    plist = data.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            what = f"compressed with {name.decode() or code}, which is not installed ({data.name})"
            raise _kind(path, what, "save it again with gzip compression")


def _probe_zarr(located: Located) -> str:
    from aidocell.counts import links

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


def _read_zarr(located: Located, group: zarr.Group) -> None:
    with reading(located.path, "its metadata"):
        names = set(group)
        arrays = [array for name in _PARTS for array in _zarr_arrays(group.get(name))]
    if not {"obs", "var"} <= names:
        listed = ", ".join(sorted(names)[:5]) or "nothing"
        what = f"a Zarr store, but no AnnData (it holds {listed})"
        raise _kind(located.path, what, "save an AnnData with write_zarr")
    for array in arrays:
        with reading(located.path, array.name):
            _read(array)


def _zarr_arrays(part: zarr.Group | zarr.Array | None) -> list[zarr.Array]:
    """A part that is an array, or all arrays under a group; none where it is not there."""
    import zarr

    if part is None or isinstance(part, zarr.Array):
        return [] if part is None else [part]
    members = (member for _, member in part.members(max_depth=None))
    return [member for member in members if isinstance(member, zarr.Array)]


def _read(array: h5py.Dataset | zarr.Array) -> None:
    """Read the first part of an array and its end, by blocks."""
    if array.shape is None or not array.shape:
        array[()]
        return
    row = max(array.dtype.itemsize, 1) * max(math.prod(array.shape[1:]), 1)
    rows = max(_BLOCK // row, 1)
    last = array.shape[0]
    for start in range(0, min(last, max(_PER_PART // row, 1)), rows):
        array[start : start + rows]
    array[max(last - rows, 0) :]


_PROBES = {"hdf5": _probe_hdf5, "zarr": _probe_zarr, "zarr-zip": _probe_zip}

if __name__ == "__main__":
    _main(*sys.argv[1:])

"""AnnData in HDF5 or Zarr: X, a layer or ``.raw``, read by chunks."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import zarr

from aidocell import store
from aidocell.counts.damage import reading
from aidocell.counts.formats import Located
from aidocell.counts.frames import Node, attribute, read_cells, read_frame
from aidocell.counts.matrix import Matrix, open_matrix
from aidocell.counts.opened import Opened, layer_missing
from aidocell.errors import InputError
from aidocell.seal import MARK
from aidocell.zarrthread import start_zarr

__all__ = ["open_anndata", "verify_if_ours"]


def verify_if_ours(path: Path) -> None:
    """Check a store that this package wrote against its sha256; ``E_STORE_DAMAGED``."""
    if not os.path.isfile(path):  # noqa: PTH113  a pipe would be waited for, a device has no end
        return
    try:
        with zipfile.ZipFile(path) as archive:
            sealed = archive.comment.startswith(MARK)
            ours = sealed or any("uns/aidocell/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # what is wrong with it is said by the probe
    if ours:
        store.verify(path)


def open_anndata(located: Located, layer: str | None) -> Opened:
    """Open X, a layer or ``.raw`` of a probed AnnData file.

    Raises
    ------
    InputError
        ``E_LAYER_MISSING``, ``E_MATRIX_SHAPE``, ``E_MATRIX_TYPE``, ``E_FILE_DAMAGED``.
    """
    with ExitStack() as stack:
        root = _open_root(located, stack)
        form = _format(located, root)
        file = _File(located.path, root)
        cells = read_cells(root, path=located.path)  # damage comes before a missing layer
        node, table = file.matrix(layer)
        where = _where(located.path, layer)
        var = read_frame(*table, path=located.path)
        opened = Opened(
            path=located.path,
            format=form,
            where=where,
            matrix=open_matrix(node, path=located.path, where=where),
            cells=cells,
            var=var,
            measured=var["measured"].to_numpy(bool) if form == "counts" else None,
            others=lambda: file.others(layer),
        )
        opened.close = stack.pop_all().close
        return opened


def _open_root(located: Located, stack: ExitStack) -> Node:
    with reading(located.path, "the file"):
        if located.kind == "h5ad":
            return stack.enter_context(h5py.File(located.path, "r", locking=False))
        start_zarr()
        if located.kind == "zarr":
            return zarr.open_group(located.path, mode="r")
        packed = stack.enter_context(zarr.storage.ZipStore(located.path, mode="r"))
        return zarr.open_group(packed, path=located.root, mode="r")


def _format(located: Located, root: Node) -> str:
    if located.kind == "h5ad":
        return "h5ad"
    with reading(located.path, "uns/aidocell"):
        stage = root["uns/aidocell/stage"][()] if "uns/aidocell/stage" in root else None
    if stage is not None and str(stage) != "align":
        what = f"{located.path} holds the output of '{stage}', not counts"
        raise InputError("E_FILE_FORMAT", what, fix="give the counts.zarr.zip of the sample")
    return "zarr" if stage is None else "counts"


def _where(path: Path, layer: str | None) -> str:
    if layer is None:
        return str(path)
    return f".raw of {path}" if layer == "raw" else f"layer '{layer}' of {path}"


class _File:
    """The matrices of an AnnData file by name."""

    def __init__(self, path: Path, root: Node) -> None:
        self.path, self.root = path, root

    def layers(self) -> list[str]:
        with reading(self.path, "layers"):
            return sorted(self.root["layers"].keys()) if "layers" in self.root else []

    def matrix(self, layer: str | None) -> tuple[Node, tuple[Node, str]]:
        """The node of a matrix, and the group and name of its table of genes."""
        if layer in self.layers() and not (layer == "raw" and self._raw()):
            return self.root["layers"][layer], (self.root, "var")
        if layer == "raw" and (raw := self._raw()):
            return raw
        if layer in (None, "X") and self._is_there(self.root, "X"):
            return self.root["X"], (self.root, "var")
        there = [*(["X"] if self._is_there(self.root, "X") else []), *self.layers()]
        there += ["raw"] if self._raw() else []
        raise layer_missing(self.path, layer or "X", there)

    def _raw(self) -> tuple[Node, tuple[Node, str]] | None:
        if "raw.X" in self.root:  # before anndata 0.7
            return self.root["raw.X"], (self.root, "raw.var")
        raw = self.root.get("raw")
        if raw is None or hasattr(raw, "shape") or not self._is_there(raw, "X"):
            return None
        return raw["X"], (raw, "var")

    def _is_there(self, group: Node, name: str) -> bool:
        with reading(self.path, name):
            return name in group and attribute(group[name], "encoding-type") != "null"

    def others(self, layer: str | None) -> Iterator[tuple[str, Matrix]]:
        """The other matrices, each with the advice to use it if it holds counts."""
        names: list[str | None] = [None, *self.layers(), *(["raw"] if self._raw() else [])]
        for name in names:
            if name != layer and (name is not None or self._is_there(self.root, "X")):
                advice = (
                    f"give --layer {name}, which holds counts"
                    if name
                    else "leave out --layer: X holds counts"
                )
                node, _ = self.matrix(name)
                yield advice, open_matrix(node, path=self.path, where=_where(self.path, name))

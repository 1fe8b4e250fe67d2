"""Links in files of strangers that lead out of them: found, never followed."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import h5py

from aidocell.errors import InputError

__all__ = ["refuse_folder_links", "refuse_hdf5_links", "refuse_zip_links"]


def _link(path: Path, what: str) -> InputError:
    fix = "write the data into the file itself, for example by reading and saving it again"
    return InputError("E_FILE_LINK", f"{path} holds {what}, which is not followed", fix=fix)


def refuse_hdf5_links(path: Path, file: h5py.File) -> None:
    """Raise ``E_FILE_LINK`` at an external link, external raw storage or a virtual data set.

    Soft links stay within a file unless they pass through an external link, so those are
    refused with the external one.
    """
    for name, node in _walk(path, file.id):
        if isinstance(node, h5py.h5d.DatasetID):
            plist = node.get_create_plist()
            if plist.get_layout() == h5py.h5d.VIRTUAL:
                raise _link(path, f"a virtual data set ({name})")
            if plist.get_external_count():
                raise _link(path, f"a data set kept in another file ({name})")


def _walk(path: Path, root: h5py.h5g.GroupID) -> Iterator[tuple[str, h5py.h5g.GroupID]]:
    """Objects with their names, each once: hard links may form a circle."""
    seen = {_address(root)}
    todo = [("", root)]
    while todo:
        prefix, group = todo.pop()
        for name, node in _children(path, prefix, group):
            if _address(node) not in seen:
                seen.add(_address(node))
                yield name, node
                if isinstance(node, h5py.h5g.GroupID):
                    todo.append((f"{name}/", node))


def _children(path: Path, prefix: str, group: h5py.h5g.GroupID) -> Iterator:
    for raw in list(group):
        name = prefix + raw.decode("utf-8", "backslashreplace")
        kind = group.links.get_info(raw).type
        if kind == h5py.h5l.TYPE_HARD:
            yield name, h5py.h5o.open(group, raw)
        elif kind != h5py.h5l.TYPE_SOFT:
            raise _link(path, f"a link to another file ({name})")


def _address(node: object) -> int:
    return h5py.h5o.get_info(node).addr


def refuse_folder_links(path: Path) -> None:
    """Raise ``E_FILE_LINK`` at a symbolic link in a Zarr folder that leads out of it.

    A device, pipe or socket among the chunks is ``E_FILE_FORMAT``: reading it could wait for ever.
    """
    top = os.path.realpath(path)
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            part = os.path.join(folder, name)  # noqa: PTH118  pathlib raises on a loop of links
            _refuse_odd(path, part, top)


def _refuse_odd(path: Path, part: str, top: str) -> None:
    shown = part.removeprefix(top + os.sep)
    kind = os.lstat(part).st_mode
    if stat.S_ISLNK(kind):
        if not os.path.realpath(part).startswith(top + os.sep):
            raise _link(path, f"a symbolic link out of the folder ({shown})")
    elif not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        what = f"{path} holds something that is neither a file nor a folder ({shown})"
        raise InputError("E_FILE_FORMAT", what, fix="copy the store anew from where it came from")


def refuse_zip_links(path: Path) -> None:
    """Raise ``E_FILE_LINK`` at a member that is a link or whose name leads out of the zip."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = PurePosixPath(info.filename)
            if name.is_absolute() or ".." in name.parts:
                raise _link(path, f"a member that leads out of it ({info.filename})")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _link(path, f"a symbolic link ({info.filename})")

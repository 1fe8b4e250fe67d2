"""A folder packed into one zip whose comment is a sha256 of everything before it.

A zip's own CRC-32 covers the data of its members and not its headers; the seal covers every byte.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from aidocell.errors import InputError

__all__ = ["MARK", "SUFFIX", "comes_back", "damaged", "pack", "read_seal", "require_file", "verify"]

SUFFIX = ".zarr.zip"
MARK = b"aidocell sha256 "  # comes before the digits of every seal
_COMMENT_SIZE = len(MARK) + 64
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: no time goes into the bytes


def pack(folder: Path, target: Path) -> None:
    """Zip `folder` so that equal content gives equal bytes, and seal it with a sha256."""
    members = sorted(p for p in folder.rglob("*") if p.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            info = zipfile.ZipInfo(member.relative_to(folder).as_posix(), _EPOCH)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            info.file_size = member.stat().st_size  # lets zipfile decide on zip64 by itself
            with member.open("rb") as source, archive.open(info, "w") as sink:
                while block := source.read(1 << 22):
                    sink.write(block)
        archive.comment = MARK + b"0" * 64
    seal = digest_head(target).encode()
    with target.open("r+b") as handle:
        handle.seek(-64, 2)
        handle.write(seal)


def read_seal(path: Path) -> str:
    """The sha256 in the comment that closes every store."""
    with path.open("rb") as handle:
        handle.seek(max(path.stat().st_size - _COMMENT_SIZE, 0))
        comment = handle.read()
    if not comment.startswith(MARK):
        raise _unsealed(path)
    return comment.removeprefix(MARK).decode("latin-1")


def _unsealed(path: Path) -> InputError:
    """A store that was cut short, or somebody's data, which nobody must be told to delete."""
    if path.name.endswith(SUFFIX):
        what = f"{path} is torn or changed: its closing checksum is missing"
        fix = "make it again, if aidocell wrote it; if not, it is no output to read as one"
        return InputError("E_STORE_DAMAGED", what, fix=fix)
    what = f"{path} is no output of aidocell"
    return InputError("E_FILE_FORMAT", what, fix=f"give a {SUFFIX} that aidocell wrote")


def digest_head(path: Path) -> str:
    """Hex sha256 of all bytes before the comment."""
    left = path.stat().st_size - _COMMENT_SIZE
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while left > 0 and (block := handle.read(min(left, 1 << 22))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def verify(path: str | Path) -> None:
    """Raise ``E_STORE_DAMAGED`` unless every byte of the store is as it was written."""
    path = Path(path)
    require_file(path)
    if read_seal(path) != digest_head(path):
        raise damaged(path, "its bytes do not match its checksum")


def comes_back(path: Path) -> bool:
    """Whether the disk gives back a new store as it was packed: every member's CRC-32, and the seal."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
        # what the disk holds is to be read, not what memory still remembers of it
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None and read_seal(path) == digest_head(path)
    except (zipfile.BadZipFile, EOFError, InputError):
        return False


def require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            "E_FILE_MISSING", f"{path} does not exist or is no file", fix="check the path"
        )


def damaged(path: Path, why: str) -> InputError:
    return InputError(
        "E_STORE_DAMAGED", f"{path} is torn or changed: {why}", fix="delete it and make it again"
    )

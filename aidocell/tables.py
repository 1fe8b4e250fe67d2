"""Parquet tables that say what they were made from, closed by a seal over every byte.

The seal is a sha256 of the whole file with the seal's own digits as zeros; it stands in the
footer's key-value metadata, so any reader of Parquet passes over it. Writing and checking take
the memory of a row group, not of the table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aidocell.errors import InputError
from aidocell.files import atomic
from aidocell.seal import MARK
from aidocell.unforeseen import raise_if_machine_failed

__all__ = ["about_table", "is_parquet", "new_table", "read_table", "verify_table", "write_table"]

_ABOUT = "aidocell"
_SEAL = "seal"
_OPEN = b"0" * 64
_BLOCK = 1 << 22
_TAIL = 8  # length of the footer and the closing magic
_LARGEST_FOOTER = 64 << 20  # bytes; far above that of any table of ours


@contextmanager
def new_table(
    path: str | Path, schema: pa.Schema, *, about: Mapping[str, Any]
) -> Iterator[pq.ParquetWriter]:
    """Give a writer that takes a table row group by row group; whole or not there.

    Parameters
    ----------
    path
        The Parquet file.
    schema
        Of each row group.
    about
        What the table was made from and how, in plain values; entries that are known only later
        may be added to it until the body ends.
    """
    with atomic(path) as temporary:
        # a file of Python's, whose errors say what is wrong with the disk
        with (
            temporary.open("wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            yield writer
            text = json.dumps(about, ensure_ascii=False, allow_nan=False)
            seal = (MARK + _OPEN).decode()
            writer.add_key_value_metadata({_ABOUT: text, _SEAL: seal})
        _close(temporary)


def write_table(table: pd.DataFrame, path: str | Path, *, about: Mapping[str, Any]) -> None:
    """Write a whole table without its index; `about` as for :func:`new_table`."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    # pandas' own notes would bring attrs along: one place for them is enough
    content = content.replace_schema_metadata(None)
    with new_table(path, content.schema, about=about) as writer:
        writer.write_table(content)


def read_table(path: str | Path, **options: Any) -> pd.DataFrame:
    """A table that was sealed, checked; ``attrs`` hold what :func:`about_table` gives.

    Parameters
    ----------
    options
        For :func:`pyarrow.parquet.read_table`: ``columns``, ``filters``.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, or ``E_STORE_DAMAGED`` where a byte is not as it was written.
    """
    verify_table(path)
    table = pq.read_table(path, **options).to_pandas()
    table.attrs = about_table(path)
    return table


def about_table(path: str | Path) -> dict[str, Any]:
    """What a table was made from and how, as given when it was written."""
    path = _existing(path)
    try:
        notes = pq.read_metadata(path).metadata or {}
        return json.loads(notes[_ABOUT.encode()])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise_if_machine_failed(error)
        raise _damaged(path, "it says nothing of what it was made from") from error


def is_parquet(path: str | Path) -> bool:
    """Whether a file begins as a Parquet file does; nothing else of it is looked at."""
    with Path(path).open("rb") as handle:
        return handle.read(4) == b"PAR1"


def verify_table(path: str | Path) -> None:
    """Raise ``E_STORE_DAMAGED`` unless every byte of the table is as it was written."""
    path = _existing(path)
    place = _place(path)
    with path.open("rb") as handle:
        handle.seek(place)
        found = handle.read(len(_OPEN))
    if found != _digest(path, place):
        raise _damaged(path, "its bytes do not match its seal")


def _close(path: Path) -> None:
    """Put the digest in the place that is kept for it."""
    place = _place(path)
    seal = _digest(path, place)
    with path.open("r+b") as handle:
        handle.seek(place)
        handle.write(seal)


def _place(path: Path) -> int:
    """Where the digits of the seal begin; they are the last that follow its mark in the footer."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(max(0, size - _TAIL))
        length = int.from_bytes(handle.read(4), "little")
        start = size - _TAIL - length
        if not 0 < length <= _LARGEST_FOOTER or start < 0:
            raise _damaged(path, "its end is missing")
        handle.seek(start)
        found = handle.read(length).rfind(MARK)
    if found < 0 or found + len(MARK) + len(_OPEN) > length:
        raise _damaged(path, "its seal is missing")
    return start + found + len(MARK)


def _digest(path: Path, place: int) -> bytes:
    """Hex sha256 of the file with zeros in the place of the seal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        left = place
        while left and (block := handle.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        handle.read(len(_OPEN))
        digest.update(_OPEN)
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest().encode()


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "E_FILE_MISSING", f"{path} does not exist or is no file", fix="check the path"
        )
    return path


def _damaged(path: Path, why: str) -> InputError:
    fix = "delete it and run the same command again"
    return InputError("E_STORE_DAMAGED", f"{path} is torn or changed: {why}", fix=fix)

"""JSON records that a later stage reads: readable by people, and closed by a seal.

The last key, ``seal``, is the sha256 of the record without it, in the very bytes that
:func:`write_record` gives it: a change of any byte is noticed. Imports nothing heavy, since the
Snakefile asks too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.errors import InputError
from aidocell.files import json_bytes, read_json, write_json

__all__ = ["SEAL", "read_record", "write_record"]

SEAL = "seal"


def write_record(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` as readable JSON with its seal, atomically and with the same bytes each time."""
    write_json(path, _sealed(content))


def read_record(path: str | Path) -> dict[str, Any]:
    """What :func:`write_record` wrote, without the seal.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``: it is not there; ``E_STORE_DAMAGED``: a byte is not as it was written.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "E_FILE_MISSING", f"{path} does not exist or is no file", fix="run the study again"
        )
    content = read_json(path)
    content.pop(SEAL, None)
    if not _is_written_as(content, path):
        what = f"{path} is torn or changed: its content does not match its seal"
        fix = "delete it and run the same command again"
        raise InputError("E_STORE_DAMAGED", what, fix=fix)
    return content


def _is_written_as(content: Mapping[str, Any], path: Path) -> bool:
    try:
        return json_bytes(_sealed(content)) == path.read_bytes()
    except ValueError:  # what JSON can read and we never write, such as NaN
        return False


def _sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, SEAL: hashlib.sha256(json_bytes(content)).hexdigest()}

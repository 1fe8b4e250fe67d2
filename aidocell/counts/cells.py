"""The list of barcodes of ``--cells``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from aidocell.counts.damage import reading
from aidocell.counts.formats import open_text
from aidocell.errors import InputError, printable

__all__ = ["listed_cells", "select_cells"]

_HEADER = re.compile(r"(cell|barcode|obs)s?([ _.-]?(id|name|barcode)s?)?|index|x|", re.IGNORECASE)
_log = logging.getLogger(__name__)


def listed_cells(path: str | Path) -> list[str]:
    """Read a list of barcodes: a text, TSV or CSV file, gzipped or not, first column.

    Empty lines are left out, and so is a first line that names a column.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, or ``E_FILE_DAMAGED`` where it is no text.
    """
    path = Path(path)
    if not path.is_file():
        why = "is no file" if path.exists() else "does not exist"
        what = f"the list of cells {path} {why}"
        raise InputError("E_FILE_MISSING", what, fix="check the path given to --cells")
    with reading(path, "the list of cells"), open_text(path) as handle:
        lines = [line for line in handle if line.strip()]
    names = [re.split(r"[\t,;]", line, maxsplit=1)[0].strip().strip("\"'") for line in lines]
    if names and _HEADER.fullmatch(names[0].lstrip("\ufeff")):
        names = names[1:]
    return [name for name in names if name]


def select_cells(cells: pd.Index, wanted: list[str], *, path: Path, listing: Path) -> np.ndarray:
    """Which cells of a file are listed, boolean, in the order of the file.

    Barcodes of the list that the file does not have are counted in a warning.

    Raises
    ------
    InputError
        ``E_NO_CELLS``: no cell of the file is listed.
    """
    kept = cells.isin(set(wanted))
    missing = [name for name in dict.fromkeys(wanted) if name not in cells]
    if not kept.any():
        shown = f"{_some(wanted)} in {listing}, {_some(cells)} in {path}"
        what = f"none of the {len(wanted):,} cells of {listing} is in {path} ({shown})"
        raise InputError("E_NO_CELLS", what, fix="give barcodes as the file spells them to --cells")
    if missing:
        _log.warning(
            "%s lacks %d of the cells listed in %s: %s",
            path,
            len(missing),
            listing,
            printable(_some(missing)),
        )
    return np.asarray(kept)


def _some(names: Iterable[str]) -> str:
    return ", ".join(map(str, names[:3])) or "nothing"

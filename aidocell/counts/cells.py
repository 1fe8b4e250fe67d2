"""Names of cells: those of a file, and the list of barcodes of ``--cells``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aidocell.counts.damage import reading
from aidocell.counts.formats import open_text
from aidocell.errors import InputError, printable
from aidocell.texts import Texts

__all__ = ["listed_cells", "require_names", "select_cells"]

_HEADER = re.compile(r"(cell|barcode|obs)s?([ _.-]?(id|name|barcode)s?)?|index|x|", re.IGNORECASE)
_log = logging.getLogger(__name__)


def require_names(cells: Texts, path: Path) -> None:
    """Raise ``E_CELL_NAMES`` where a cell of a file has no name, or the name of another."""
    first = pc.index(cells.arrow, pa.scalar("", pa.large_string())).as_py()
    if first >= 0:
        what = f"{path} has cells without a name (the first is cell {first + 1:,})"
        raise InputError("E_CELL_NAMES", what, fix="name every cell in obs")
    if twice := cells.repeated():
        what = f"{path} has {len(twice):,} cell names more than once ({', '.join(twice[:3])})"
        raise InputError("E_CELL_NAMES", what, fix="make the names in obs unique")


def listed_cells(path: str | Path) -> Texts:
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
        return Texts.of(_barcodes(handle))


def _barcodes(lines: Iterable[str]) -> Iterator[str]:
    fields = (re.split(r"[\t,;]", line, maxsplit=1)[0] for line in lines if line.strip())
    for number, name in enumerate(field.strip().strip("\"'") for field in fields):
        if name and not (number == 0 and _HEADER.fullmatch(name.lstrip("\ufeff"))):
            yield name


def select_cells(cells: Texts, wanted: Texts, *, path: Path, listing: Path) -> np.ndarray:
    """Which cells of a file are listed, boolean, in the order of the file.

    Barcodes of the list that the file does not have are counted in a warning.

    Raises
    ------
    InputError
        ``E_NO_CELLS``: no cell of the file is listed.
    """
    kept = cells.places_in(wanted) >= 0
    missing = wanted.where(wanted.places_in(cells) < 0).unique()
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
    return kept


def _some(names: Texts) -> str:
    return ", ".join(names[:3]) or "nothing"

"""The table of quality control, ``qc.parquet``: written and read a block of cells at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aidocell.counts.metrics import INTEGERS, METRICS
from aidocell.errors import InputError
from aidocell.tables import about_table, new_table, read_table, verify_table
from aidocell.texts import BLOCK, Texts

__all__ = ["COLUMNS", "kept_cells", "read_qc", "write_qc"]

COLUMNS = ("cell", *METRICS, "doublet_score", "kept", "reason")
_TYPES = {"cell": pa.string(), "kept": pa.bool_(), "reason": pa.string()}
_TYPES |= dict.fromkeys(INTEGERS, pa.int64())
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.float64())) for name in COLUMNS])


def write_qc(path: str | Path, blocks: Iterable[pd.DataFrame], about: Mapping[str, Any]) -> None:
    """Write the table block by block.

    Parameters
    ----------
    blocks
        Tables with :data:`COLUMNS`, of cells in their order.
    about
        ``made_from`` and ``bounds``, as :func:`read_qc` gives them back in ``attrs``.
    """
    with new_table(path, _SCHEMA, about=about) as writer:
        for block in blocks:
            writer.write_table(pa.Table.from_pandas(block, _SCHEMA, preserve_index=False))


def read_qc(path: str | Path) -> pd.DataFrame:
    """The whole table; ``attrs["bounds"]`` holds what was applied, of each metric.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_STORE_DAMAGED``.
    """
    return read_table(path)


def kept_cells(path: str | Path, cells: Texts, *, made_from: Mapping[str, Any]) -> np.ndarray:
    """Which cells of a file QC kept; boolean, shape ``(len(cells),)``.

    Parameters
    ----------
    cells
        Names of all cells of the file.
    made_from
        What the table has to be made from, as it says itself; what is None here is not compared.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: the table is of another file or sample, of the file read otherwise,
        or by other thresholds;
        ``E_FILE_MISSING``, ``E_STORE_DAMAGED``.
    """
    verify_table(path)
    found = about_table(path).get("made_from", {})
    if any(asked not in (None, found.get(name)) for name, asked in made_from.items()):
        raise _of_another_file(path)
    kept = np.zeros(len(cells), dtype=bool)
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BLOCK, columns=["cell", "kept"]):
            part = slice(start, start + len(batch))
            names = pa.chunked_array([batch["cell"].cast(pa.large_string())])
            if not cells[part].arrow.equals(names):
                raise _of_another_file(path)
            kept[part] = batch["kept"].to_numpy(zero_copy_only=False)
            start = part.stop
    if start != len(cells):
        raise _of_another_file(path)
    return kept


def _of_another_file(path: str | Path) -> InputError:
    return InputError(
        "E_STORE_MISMATCH",
        f"{path} was made from another input, sample or set of thresholds than those of now",
        fix="delete it and the audit.json beside it, then run the same command again",
    )

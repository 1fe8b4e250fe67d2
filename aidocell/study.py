"""The sample sheet: one line a sample, with its own options and columns."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aidocell.config import check_value
from aidocell.counts.options import InputOptions
from aidocell.errors import InputError

__all__ = ["Sample", "cell_table", "locate", "read_sheet", "stamp"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OPTIONS = ("layer", "gene_ids", "cells", "round")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Sample:
    """One line of the sample sheet, completed by the configuration.

    Attributes
    ----------
    name
        Unique; the sample's folder under ``results/samples/``.
    path
        The INPUT.
    options
        How to read it.
    qc
        Thresholds, as in the configuration's ``qc``.
    metadata
        A table of cells to join by barcode, or None.
    columns
        Further columns of the sheet, copied to every cell.
    """

    name: str
    path: str
    options: InputOptions
    qc: dict[str, Any]
    metadata: str | None
    columns: dict[str, str]

    @property
    def reading(self) -> dict[str, Any]:
        """How to read the sample, in plain values: what the parameters of a rule can hold."""
        cells = self.options.cells
        return {**asdict(self.options), "cells": None if cells is None else str(cells)}

    @property
    def row(self) -> dict[str, str]:
        """Its line of the sheet, for the report."""
        return {"sample": self.name, "path": self.path, **self.columns}

    @property
    def stamp(self) -> str:
        """Changes when the sample's file or its list of cells is replaced."""
        return f"{stamp(self.path)} {stamp(self.reading['cells'])}"


def read_sheet(
    path: str | Path, config: Mapping[str, Any], schema: str | Path, *, root: Path
) -> dict[str, Sample]:
    """Read the sample sheet, a TSV with a header.

    Parameters
    ----------
    path
        ``samples.tsv``.
    config
        A checked configuration: what an empty field means.
    schema
        ``config.schema.json``, for thresholds that the sheet sets for one sample.
    root
        Where relative paths are looked for if not in the working directory.

    Returns
    -------
    dict
        Samples by name, in the order of the sheet.

    Raises
    ------
    InputError
        ``E_SHEET``, ``E_SAMPLE_NAME`` or ``E_CONFIG``, naming the line.
    """
    rules = json.loads(Path(schema).read_text(encoding="utf-8"))["properties"]["qc"]["properties"]
    samples: dict[str, Sample] = {}
    for line, row in _rows(Path(path)):
        where = f"{path}, line {line}"
        sample = _sample(row, config, rules, root, where)
        if sample.name in samples:
            raise InputError(
                "E_SHEET",
                f"{where}: sample '{sample.name}' is there twice",
                fix="give each its own name",
            )
        samples[sample.name] = sample
    if not samples:
        raise InputError("E_SHEET", f"{path} lists no sample", fix="add one line per sample")
    return samples


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            "E_SHEET",
            f"the sample sheet {path} cannot be read",
            fix="check 'samples' in the config",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            "E_SHEET", f"{path} is not UTF-8 text", fix="save it as tab-separated UTF-8 text"
        ) from error
    reader = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = reader.fieldnames or []
    for column in ("sample", "path"):
        if column not in header:
            raise InputError(
                "E_SHEET",
                f"{path} has no column '{column}'",
                fix="add it; columns are separated by tabs",
            )
    if len(set(header)) < len(header):
        raise InputError("E_SHEET", f"{path} has a column twice", fix="keep one of them")
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise InputError(
                "E_SHEET",
                f"{path}, line {reader.line_num} has not as many fields as the header",
                fix="add or drop tabs",
            )
        rows.append((reader.line_num, {key: value.strip() for key, value in row.items()}))
    return [
        (line, row) for line, row in rows if any(row.values()) and not row["sample"].startswith("#")
    ]


def _sample(
    row: dict[str, str], config: Mapping[str, Any], rules: Mapping[str, Any], root: Path, where: str
) -> Sample:
    for column in ("sample", "path"):
        if not row[column]:
            raise InputError("E_SHEET", f"{where}: '{column}' is empty", fix="fill it in")
    if not _NAME.fullmatch(row["sample"]):
        raise InputError(
            "E_SAMPLE_NAME",
            f"{where}: '{row['sample']}' cannot be a sample's name",
            fix="use at most 64 letters, digits, '_' and '-', a letter or digit first",
        )
    known = {"sample", "path", "metadata", *_OPTIONS, *rules}
    return Sample(
        name=row["sample"],
        path=locate(row["path"], root),
        options=_options(row, config["input"], root, where),
        qc={
            **config["qc"],
            **{key: _threshold(key, row[key], rules, where) for key in rules if row.get(key)},
        },
        metadata=locate(row["metadata"], root) if row.get("metadata") else None,
        columns={key: value for key, value in row.items() if key not in known},
    )


def _options(
    row: dict[str, str], defaults: Mapping[str, Any], root: Path, where: str
) -> InputOptions:
    given: dict[str, Any] = {key: row.get(key) or defaults[key] for key in _OPTIONS}
    if row.get("round"):
        if row["round"].lower() not in _YES_NO:
            raise InputError(
                "E_SHEET", f"{where}: round is '{row['round']}'", fix="write true or false"
            )
        given["round"] = _YES_NO[row["round"].lower()]
    if given["cells"]:
        given["cells"] = Path(locate(given["cells"], root))
    return InputOptions(**given)


def _threshold(key: str, text: str, rules: Mapping[str, Any], where: str) -> Any:
    value: Any = text
    if "enum" not in rules[key]:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text  # refused below, with what is wanted
    check_value(key, value, rules[key], where=where)
    return value


def locate(path: str, root: Path) -> str:
    """`path` as given where the working directory has it, else below `root` if it is there."""
    return str(root / path) if not Path(path).exists() and (root / path).exists() else path


def stamp(path: str | None) -> str:
    """Digest of size and modification time of a file or of all in a folder; "absent" without one.

    As a parameter of a rule it makes a replaced input noticed, also one with an older time.
    """
    if path is None or not Path(path).exists():
        return "absent"
    parts = [Path(path), *sorted(p for p in Path(path).rglob("*") if p.is_file())]
    text = ";".join(
        f"{part.name}:{part.stat().st_size}:{part.stat().st_mtime_ns}" for part in parts
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cell_table(
    cells: Sequence[str], *, metadata: str | None, columns: Mapping[str, str]
) -> pd.DataFrame:
    """What the sheet and the sample's metadata say about its cells, by barcode.

    Parameters
    ----------
    cells
        Barcodes of the sample.
    metadata
        A TSV, CSV or Parquet with the barcodes in its first column, or None.
    columns
        Further columns of the sheet: one value for all cells.

    Raises
    ------
    InputError
        ``E_SHEET``: metadata that cannot be read, names a cell twice, or shares no cell.
    """
    table = pd.DataFrame(index=pd.Index(cells)) if metadata is None else _metadata(metadata, cells)
    return table.assign(**{key: value for key, value in columns.items() if value})


def _metadata(path: str, cells: Sequence[str]) -> pd.DataFrame:
    table = _read_table(path)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(
            "E_SHEET", f"metadata {path} has cell {twice} twice", fix="keep one line a cell"
        )
    if not table.index.isin(cells).any():
        raise InputError(
            "E_SHEET",
            f"metadata {path} has none of the sample's cells (its first: {table.index[0]}; the sample's: {cells[0]})",
            fix="put the barcodes, spelled as in the sample, into the first column",
        )
    return table.reindex(cells)


def _read_table(path: str) -> pd.DataFrame:
    try:
        if path.endswith(".parquet"):
            table = pd.read_parquet(path)
        else:
            separator = "," if ".csv" in path else "\t"
            table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "E_SHEET", f"metadata {path} cannot be read", fix="give a TSV, CSV or Parquet of cells"
        ) from error
    if table.empty:
        raise InputError("E_SHEET", f"metadata {path} is empty", fix="give one line a cell")
    if isinstance(table.index, pd.RangeIndex):
        table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table

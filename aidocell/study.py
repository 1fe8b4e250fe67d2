"""The sample sheet: one line a sample, with its own options and columns."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonschema

from aidocell.config import check_value, refuse_contradictions
from aidocell.counts.options import InputOptions
from aidocell.errors import InputError

__all__ = ["Sample", "locate", "read_sheet", "stamp"]

log = logging.getLogger(__name__)

_OPTIONS = ("layer", "gene_ids", "cells", "round")
_YES = ("true", "yes", "1")


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

    Empty lines and lines that begin with ``#`` are passed over; a field may stand in double
    quotes, as spreadsheets write them.

    Parameters
    ----------
    path
        ``samples.tsv``.
    config
        A checked configuration: what an empty field means.
    schema
        ``config.schema.json``, for thresholds that the sheet sets for one sample; beside it is
        ``samples.schema.json`` with the rules for the sheet's own columns.
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
    thresholds = _rules(schema)["properties"]["qc"]["properties"]
    sheet = _rules(Path(schema).with_name("samples.schema.json"))
    rows = _rows(Path(path), sheet["required"])
    if rows:
        _warn_of_near_names(rows[0][1], {*sheet["properties"], *thresholds}, Path(path))
    samples: dict[str, Sample] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        _check_row(row, sheet, where)
        if row["sample"] in samples:
            raise InputError(
                "E_SHEET",
                f"{where}: sample '{row['sample']}' is there twice",
                fix="give each its own name",
            )
        samples[row["sample"]] = _sample(row, config, thresholds, root, where)
    if not samples:
        raise InputError("E_SHEET", f"{path} lists no sample", fix="add one line per sample")
    return samples


def _rules(schema: str | Path) -> dict:
    return json.loads(Path(schema).read_text(encoding="utf-8"))


def _rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line number and fields by column, of every line with something in it."""
    lines = [
        (number, [_unquoted(field) for field in line.split("\t")])
        for number, line in enumerate(_text(path).split("\n"), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    header = lines[0][1] if lines else []
    _check_header(header, path, required)
    for number, fields in lines[1:]:
        if len(fields) != len(header):
            raise InputError(
                "E_SHEET",
                f"{path}, line {number} has {len(fields)} fields, the header has {len(header)}",
                fix="add or drop tabs",
            )
    rows = [(number, dict(zip(header, fields, strict=True))) for number, fields in lines[1:]]
    return [(number, row) for number, row in rows if any(row.values())]


def _warn_of_near_names(columns: Iterable[str], known: Iterable[str], path: Path) -> None:
    """A misspelt threshold would be copied to the cells and change nothing else."""
    for column in columns:
        near = difflib.get_close_matches(column, known, n=1, cutoff=0.85)
        if near and column not in known:
            log.warning(
                "%s: column '%s' is copied to the cells; was '%s' meant?", path, column, near[0]
            )


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise OSError(0, "it is no file")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            "E_SHEET",
            f"the sample sheet {path} cannot be read ({error.strerror})",
            fix="check 'samples' in the config",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            "E_SHEET", f"{path} is not UTF-8 text", fix="save it as tab-separated UTF-8 text"
        ) from error


def _unquoted(field: str) -> str:
    """A field without the spaces and quotes around it."""
    field = field.strip()
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"').strip() if quoted else field


def _check_header(header: Sequence[str], path: Path, required: Sequence[str]) -> None:
    for column in required:
        if column not in header:
            raise InputError(
                "E_SHEET",
                f"{path} has no column '{column}' (columns: {', '.join(header) or 'none'})",
                fix="add it; columns are separated by tabs",
            )
    if "" in header:
        raise InputError(
            "E_SHEET", f"column {header.index('') + 1} of {path} has no name", fix="name or drop it"
        )
    for column in header:
        if header.count(column) > 1:
            raise InputError("E_SHEET", f"{path} has column '{column}' twice", fix="keep one")


def _check_row(row: Mapping[str, str], rules: Mapping[str, Any], where: str) -> None:
    """Check the sheet's own columns against their schema."""
    for column in rules["required"]:
        if not row[column]:
            raise InputError("E_SHEET", f"{where}: '{column}' is empty", fix="fill it in")
    for error in jsonschema.Draft202012Validator(rules).iter_errors(row):
        (column,) = error.path
        if column == "sample":
            raise InputError(
                "E_SAMPLE_NAME",
                f"{where}: '{row['sample']}' cannot be a sample's name",
                fix="use at most 64 letters, digits, '_' and '-', a letter or digit first",
            )
        raise InputError(
            "E_SHEET", f"{where}: {column} is '{row[column]}'", fix="write true or false"
        )


def _sample(
    row: dict[str, str],
    config: Mapping[str, Any],
    thresholds: Mapping[str, Any],
    root: Path,
    where: str,
) -> Sample:
    given = {name: row[name] for name in thresholds if row.get(name)}
    own = {name: _threshold(name, text, thresholds, where) for name, text in given.items()}
    qc = {**config["qc"], **own}
    refuse_contradictions(qc, where=where)
    known = {"sample", "path", "metadata", *_OPTIONS, *thresholds}
    return Sample(
        name=row["sample"],
        path=locate(row["path"], root),
        options=_options(row, config["input"], root),
        qc=qc,
        metadata=locate(row["metadata"], root) if row.get("metadata") else None,
        columns={key: value for key, value in row.items() if key not in known},
    )


def _options(row: dict[str, str], defaults: Mapping[str, Any], root: Path) -> InputOptions:
    given: dict[str, Any] = {key: row.get(key) or defaults[key] for key in _OPTIONS}
    if row.get("round"):
        given["round"] = row["round"].lower() in _YES
    if given["cells"]:
        given["cells"] = Path(locate(given["cells"], root))
    return InputOptions(**given)


def _threshold(key: str, text: str, rules: Mapping[str, Any], where: str) -> Any:
    value: Any = text
    if "enum" not in rules[key]:
        # what is no JSON is refused below, with what is wanted
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
    return check_value(key, value, rules[key], where=where)


def locate(path: str, root: Path) -> str:
    """`path` as given where the working directory has it, else below `root` if it is there."""
    return str(root / path) if not _there(path) and _there(root / path) else path


def stamp(path: str | None) -> str:
    """Digest of size and modification time of a file or of all in a folder; "absent" without one.

    As a parameter of a rule it makes a replaced input noticed, also one with an older time.
    """
    if path is None or not _there(path):
        return "absent"
    top = Path(path)
    parts = [top, *sorted(p for p in top.rglob("*") if p.is_file())]
    text = ";".join(
        f"{part.relative_to(top)}:{part.stat().st_size}:{part.stat().st_mtime_ns}" for part in parts
    )
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _there(path: str | Path) -> bool:
    """Whether `path` exists; what cannot be a path, or not be looked at, is for `check` to name."""
    try:
        return Path(path).exists()
    except OSError:
        return False

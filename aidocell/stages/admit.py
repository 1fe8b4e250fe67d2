"""Which samples go on; imports nothing heavy, since the Snakefile asks too."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from aidocell.errors import InputError
from aidocell.files import atomic
from aidocell.lineage import origin_of_audit, require_one_origin
from aidocell.records import read_record

__all__ = ["admit", "admitted_samples", "require_column"]

log = logging.getLogger(__name__)

_COLUMNS = ("sample", "accepted", "cells", "error", "what", "fix")


def admit(
    audits: Mapping[str, str | Path],
    output: str | Path,
    *,
    on_bad_sample: str,
    columns: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Write the table of samples that go on, ``admission.tsv``.

    Parameters
    ----------
    audits
        ``audit.json`` of each sample, by name.
    on_bad_sample
        ``stop``: one refused sample ends the run, after all are listed; ``skip``: the others go on.
    columns
        Columns that the study needs, by the key of the configuration that names them; at least one
        sample has to have each, or a slip in the name would show after all cells are embedded.

    Raises
    ------
    InputError
        The first refused sample's error; ``E_LABEL_MISSING``: a column that no sample has;
        ``E_STORE_DAMAGED``, ``E_STORE_MISMATCH``: an audit that is changed, or another sample's.
    """
    found = {name: _read_audit(name, path) for name, path in audits.items()}
    rows = [_row(name, audit) for name, audit in found.items()]
    refused = [row for row in rows if row["accepted"] == "no"]
    for row in refused:
        log.error("sample {sample} is refused: {error}: {what}; {fix}".format(**row))
    if len(refused) == len(rows) or (refused and on_bad_sample == "stop"):
        first = refused[0]
        others = len(refused) < len(rows)
        raise InputError(
            first["error"],
            f"{len(refused)} of {len(rows)} samples are refused, first {first['sample']}: {first['what']}",
            fix=first["fix"]
            + ("; or set on_bad_sample: skip to go on without them" if others else ""),
        )
    known = {"sample", *(c for audit in found.values() for c in audit.get("columns", []))}
    for key, name in columns.items():
        require_column(sorted(known), name, key=key, where="is among those of the samples")
    with atomic(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, _COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def require_column(known: Sequence[str], name: str | None, *, key: str, where: str) -> None:
    """Raise ``E_LABEL_MISSING`` if `name`, which `key` of the configuration gives, is not known."""
    if name is not None and name not in known:
        raise InputError(
            "E_LABEL_MISSING",
            f"{key} is '{name}', and no column of that name {where} (columns: {', '.join(known) or 'none'})",
            fix=f"correct {key} in the config, or add the column by the sheet or the sample's metadata",
        )


def _row(name: str, audit: dict) -> dict[str, str]:
    from aidocell.evaluate.tables import tsv_text  # here, since it imports pandas

    error = audit.get("error", {"id": "", "what": "", "fix": ""})
    row = {
        "sample": name,
        "accepted": _verdict(audit),
        "cells": str(audit.get("cells", "")),
    }
    return {
        **row,
        "error": error["id"],
        "what": tsv_text(error["what"]),
        "fix": tsv_text(error["fix"]),
    }


def _read_audit(name: str, path: str | Path) -> dict:
    audit = read_record(path)
    require_one_origin({"the sample sheet": {"sample": name}, str(path): origin_of_audit(audit)})
    return audit


def admitted_samples(
    admission: str | Path, audits: Mapping[str, str | Path] = MappingProxyType({})
) -> list[str]:
    """Names of the samples that go on, in the order of the sheet.

    Parameters
    ----------
    audits
        ``audit.json`` of each sample, by name: the table has to say what they say.

    Raises
    ------
    InputError
        ``E_STORE_DAMAGED``: it does not, or is no such table.
    """
    path = Path(admission)
    return list(_admitted(path, path.stat().st_mtime_ns, tuple(audits.items())))


@cache
def _admitted(
    admission: Path, changed: int, audits: tuple[tuple[str, str | Path], ...]
) -> tuple[str, ...]:
    """The Snakefile asks once a job, so each version (`changed`) of the table is read once."""
    found = _pairs(admission)
    said = [(name, _verdict(_read_audit(name, path))) for name, path in audits]
    if audits and found != said:
        raise _not_as_written(admission)
    return tuple(name for name, verdict in found if verdict == "yes")


def _verdict(audit: Mapping[str, object]) -> str:
    return "yes" if audit["accepted"] else "no"


def _pairs(admission: Path) -> list[tuple[str, str]]:
    """Sample and verdict of every row."""
    try:
        with admission.open(newline="", encoding="utf-8") as handle:
            rows = csv.DictReader(handle, delimiter="\t", strict=True)
            found = [(row["sample"], row["accepted"]) for row in rows]
    except (ValueError, KeyError, csv.Error) as error:
        raise _not_as_written(admission) from error
    if not found or any(verdict not in ("yes", "no") for _, verdict in found):
        raise _not_as_written(admission)
    return found


def _not_as_written(admission: Path) -> InputError:
    what = f"{admission} is torn or changed: it does not say what the samples' audits say"
    return InputError("E_STORE_DAMAGED", what, fix="delete it and run the study again")

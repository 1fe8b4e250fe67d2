"""Which samples go on; imports nothing heavy, since the Snakefile asks too."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

from aidocell.errors import InputError
from aidocell.files import atomic, read_json

__all__ = ["admit", "admitted_samples"]

log = logging.getLogger(__name__)

_COLUMNS = ("sample", "accepted", "cells", "error", "what", "fix")


def admit(audits: Mapping[str, str | Path], output: str | Path, *, on_bad_sample: str) -> None:
    """Write the table of samples that go on, ``admission.tsv``.

    Parameters
    ----------
    audits
        ``audit.json`` of each sample, by name.
    on_bad_sample
        ``stop``: one refused sample ends the run, after all are listed; ``skip``: the others go on.

    Raises
    ------
    InputError
        The first refused sample's error, or ``E_NO_CELLS`` where none is left.
    """
    rows = [_row(name, read_json(path)) for name, path in audits.items()]
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
    with atomic(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, _COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(name: str, audit: dict) -> dict[str, str]:
    from aidocell.evaluate.tables import tsv_text  # here, since it imports pandas

    error = audit.get("error", {"id": "", "what": "", "fix": ""})
    row = {
        "sample": name,
        "accepted": "yes" if audit["accepted"] else "no",
        "cells": str(audit.get("cells", "")),
    }
    return {
        **row,
        "error": error["id"],
        "what": tsv_text(error["what"]),
        "fix": tsv_text(error["fix"]),
    }


def admitted_samples(admission: str | Path) -> list[str]:
    """Names of the samples that go on, in the order of the sheet."""
    with Path(admission).open(newline="", encoding="utf-8") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return [row["sample"] for row in rows if row["accepted"] == "yes"]

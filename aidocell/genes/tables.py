"""The tables that come with the package: genes, their other names, names that are ambiguous."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["FOLDER", "Synonym", "ambiguous_names", "rows_of", "synonyms"]

FOLDER = Path(__file__).parent


class Synonym(NamedTuple):
    """Another name of a gene: the vocabulary symbol it stands for and what kind of name it is."""

    symbol: str
    kind: str


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header, by column name."""
    with path.open(newline="", encoding="utf-8-sig") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


@cache
def synonyms() -> Mapping[str, Synonym]:
    """Approved, previous and alias names that stand for one gene of the built-in vocabulary."""
    rows = rows_of(FOLDER / "synonyms.tsv")
    return {row["synonym"]: Synonym(row["symbol"], row["kind"]) for row in rows}


@cache
def ambiguous_names() -> frozenset[str]:
    """Names that several genes share, at least one of them in the built-in vocabulary."""
    return frozenset(row["name"] for row in rows_of(FOLDER / "ambiguous.tsv"))

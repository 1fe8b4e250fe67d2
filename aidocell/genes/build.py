"""Build genes.tsv, synonyms.tsv, ambiguous.tsv and genes_conflicts.tsv from two pinned sources.

Every symbol of the model's vocabulary is looked up in one copy of the HGNC complete set; the
first step that applies decides its status:

1. ``<base>__chrM`` with ``<base>`` also in the vocabulary: ``chrM_duplicate``
2. an approved HGNC symbol: ``current``
3. a previous symbol of exactly one HGNC entry: ``previous``
4. an alias of exactly one HGNC entry: ``alias``
5. anything else: ``unresolved``, and a line in genes_conflicts.tsv

A name that several entries share is never guessed, and names are case-sensitive. Where several
vocabulary entries reach one HGNC entry, the approved symbol keeps the Ensembl id, so that an id
names one index. Needs pandas and pyarrow; gives the same bytes every time::

    python -m aidocell.genes.build --vocabulary OS_scRNA_gene_index.19264.tsv \
        --hgnc gene_table.parquet --output .
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from aidocell.files import sha256_file

__all__ = ["Hgnc", "build", "read_symbols"]

VOCABULARY_SHA256 = "bb337ea195d94e7b033543abc02a42e7060d6562eba97deb077f7dcecec62661"
HGNC_SHA256 = "7607773cc98134b3b5cad931370f7b22764c31512a9f611f6a89ba5ce87f03a7"
CHRM = "__chrM"
KINDS = ("approved", "previous", "alias")
HEADERS = {
    "genes.tsv": ("index", "symbol", "ensembl_id", "hgnc_symbol", "status"),
    "synonyms.tsv": ("synonym", "index", "symbol", "kind"),
    "ambiguous.tsv": ("name", "kind", "hgnc_symbols"),
    "genes_conflicts.tsv": ("index", "symbol", "kind", "hgnc_symbol", "detail"),
}

log = logging.getLogger(__name__)


class Hgnc:
    """Approved, previous and alias symbols of the HGNC entries; an entry is its row number."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.symbol = table["symbol"].tolist()
        self.ensembl = table["ensembl_id"].tolist()
        self.gene_type = table["gene_type"].tolist()
        self.previous_of = [_split(cell) for cell in table["prev_symbols"]]
        self.alias_of = [_split(cell) for cell in table["alias_symbols"]]
        self.by_symbol = {symbol: row for row, symbol in enumerate(self.symbol)}
        self.by_previous = _invert(self.previous_of)
        self.by_alias = _invert(self.alias_of)
        if len(self.by_symbol) != len(self.symbol):
            raise ValueError("the HGNC table repeats approved symbols")

    @classmethod
    def read(cls, path: Path) -> Hgnc:
        """The pinned table; any other content is refused."""
        columns = ["symbol", "ensembl_id", "prev_symbols", "alias_symbols", "gene_type"]
        return cls(pd.read_parquet(_pinned(path, HGNC_SHA256), columns=columns).fillna(""))

    def describe(self, row: int) -> str:
        """Symbol, Ensembl id and gene type of an entry, for people."""
        return f"{self.symbol[row]} ({self.ensembl[row] or 'no Ensembl id'}, {self.gene_type[row]})"


class Entry(NamedTuple):
    """What a vocabulary symbol is in HGNC: `row` decides, `rivals` are those it cannot choose from."""

    status: str
    row: int | None = None
    rivals: Sequence[int] = ()


def read_symbols(path: Path) -> list[str]:
    """The vocabulary's symbols in model order from the pinned list; any other content is refused."""
    with _pinned(path, VOCABULARY_SHA256).open(newline="", encoding="utf-8") as handle:
        return [row["gene_name"] for row in csv.DictReader(handle, delimiter="\t")]


def build(symbols: Sequence[str], hgnc: Hgnc) -> dict[str, list[tuple]]:
    """Rows of the four tables, by file name, in the columns of :data:`HEADERS`."""
    known = frozenset(symbols)
    entries = [_look_up(symbol, known, hgnc) for symbol in symbols]
    keeper = _keepers(entries)
    genes = []
    for index, (symbol, entry) in enumerate(zip(symbols, entries, strict=True)):
        kept = entry.row is not None and keeper.get(entry.row) == index
        ensembl = hgnc.ensembl[entry.row] if kept else ""
        approved = "" if entry.row is None else hgnc.symbol[entry.row]
        genes.append((index, symbol, ensembl, approved, entry.status))
    return {
        "genes.tsv": genes,
        "synonyms.tsv": _synonyms(symbols, keeper, hgnc),
        "ambiguous.tsv": _ambiguous(known, keeper, hgnc),
        "genes_conflicts.tsv": _conflicts(genes, entries, keeper, hgnc),
    }


def _look_up(symbol: str, known: frozenset[str], hgnc: Hgnc) -> Entry:
    base = symbol.removesuffix(CHRM)
    if base != symbol and base in known:
        return Entry("chrM_duplicate", hgnc.by_symbol.get(base))
    if symbol in hgnc.by_symbol:
        return Entry("current", hgnc.by_symbol[symbol])
    for status, names in (("previous", hgnc.by_previous), ("alias", hgnc.by_alias)):
        rows = names.get(symbol, [])
        if len(rows) == 1:
            return Entry(status, rows[0])
        if rows:
            return Entry("unresolved", rivals=rows)
    return Entry("unresolved")


def _keepers(entries: Sequence[Entry]) -> dict[int, int]:
    """The one vocabulary index of each HGNC entry: approved symbol first, then model order."""
    keeper: dict[int, int] = {}
    for wanted in ("current", "previous", "alias"):
        for index, entry in enumerate(entries):
            if entry.status == wanted and entry.row is not None:
                keeper.setdefault(entry.row, index)
    return keeper


def _synonyms(symbols: Sequence[str], keeper: Mapping[int, int], hgnc: Hgnc) -> list[tuple]:
    """Other names of the vocabulary's genes that cannot mean anything else."""
    known = frozenset(symbols)
    rows = []
    for row, index in keeper.items():
        names = [(hgnc.symbol[row], "approved")]
        names += [(n, "previous") for n in hgnc.previous_of[row] if _owners(n, hgnc) == [row]]
        names += [
            (name, "alias")
            for name in hgnc.alias_of[row]
            if name not in hgnc.by_previous and _owners(name, hgnc) == [row]
        ]
        rows += [(name, index, symbols[index], kind) for name, kind in names if name not in known]
    return sorted(rows, key=lambda row: (row[1], KINDS.index(row[3]), row[0]))


def _ambiguous(known: frozenset[str], keeper: Mapping[int, int], hgnc: Hgnc) -> list[tuple]:
    """Names shared by several HGNC entries of which the vocabulary has at least one."""
    rows = []
    for name in sorted({*hgnc.by_previous, *hgnc.by_alias} - known):
        owners = _owners(name, hgnc)
        if len(owners) > 1 and any(owner in keeper for owner in owners):
            kind = "previous" if name in hgnc.by_previous else "alias"
            rows.append((name, kind, "|".join(sorted(hgnc.symbol[owner] for owner in owners))))
    return rows


def _owners(name: str, hgnc: Hgnc) -> list[int]:
    """Entries that use `name` as previous symbol, else as alias; none if it is approved today."""
    if name in hgnc.by_symbol:
        return []
    return hgnc.by_previous.get(name) or hgnc.by_alias.get(name, [])


def _conflicts(
    genes: Iterable[tuple], entries: Iterable[Entry], keeper: Mapping[int, int], hgnc: Hgnc
) -> list[tuple]:
    """Why a vocabulary entry has no Ensembl id, one line each."""
    rows = []
    for (index, symbol, ensembl, approved, _), entry in zip(genes, entries, strict=True):
        if not ensembl:
            rows.append((index, symbol, *_reason(index, approved, entry, keeper, hgnc)))
    return rows


def _reason(
    index: int, approved: str, entry: Entry, keeper: Mapping[int, int], hgnc: Hgnc
) -> tuple[str, str, str]:
    if entry.rivals:
        names = ", ".join(hgnc.describe(row) for row in entry.rivals)
        return "ambiguous", approved, f"listed by several HGNC entries: {names}"
    if entry.row is None:
        return "unknown", approved, "not in HGNC as approved, previous or alias symbol"
    kept = keeper[entry.row]
    if entry.status == "chrM_duplicate":
        return (
            "chrM_duplicate",
            approved,
            f"second entry of {approved}; index {kept} keeps the Ensembl id",
        )
    if kept != index:
        detail = (
            f"same HGNC entry as {approved} (index {kept}), which keeps {hgnc.ensembl[entry.row]}"
        )
        return "same_gene", approved, detail
    detail = f"HGNC lists no Ensembl id ({hgnc.gene_type[entry.row]})"
    return "no_ensembl_id", approved, detail


def _split(cell: str) -> list[str]:
    return sorted({part.strip() for part in cell.split("|")} - {""})


def _invert(lists: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    rows_of = defaultdict(list)
    for row, names in enumerate(lists):
        for name in names:
            rows_of[name].append(row)
    return dict(rows_of)


def _pinned(path: Path, expected: str) -> Path:
    found = sha256_file(path)
    if found != expected:
        raise ValueError(f"{path.name} has sha256 {found}, expected {expected}")
    return path


def _write(path: Path, header: Sequence[str], rows: Sequence[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    log.info("%s: %d rows, sha256 %s", path.name, len(rows), sha256_file(path))


def main() -> None:
    """Write the four tables into a folder."""
    parser = argparse.ArgumentParser(description="Build the gene tables from pinned sources.")
    for option in ("--vocabulary", "--hgnc", "--output"):
        parser.add_argument(option, type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tables = build(read_symbols(arguments.vocabulary), Hgnc.read(arguments.hgnc))
    for name, rows in tables.items():
        _write(arguments.output / name, HEADERS[name], rows)


if __name__ == "__main__":
    main()

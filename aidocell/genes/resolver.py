"""From the gene names of a file to positions in a model's vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aidocell.genes.ensembl import bare_id, is_ensembl_id
from aidocell.genes.species import is_foreign_id, looks_like_other_species
from aidocell.genes.tables import ambiguous_names, synonyms
from aidocell.genes.vocabulary import CHRM_SUFFIX, Vocabulary

__all__ = ["ROUTES", "Conflict", "Resolution", "Resolver"]

# How a row was resolved, in the order in which it is tried, then why it was not.
ROUTES = (
    "ensembl_id",
    "symbol",
    "approved",
    "previous",
    "alias",
    "ambiguous",
    "chrM",
    "other_species",
    "unresolved",
)


class Conflict(NamedTuple):
    """A row whose Ensembl id means one gene (`kept`) and whose symbol means another (`other`)."""

    row: int
    id: str
    symbol: str
    kept: str
    other: str


@dataclass(frozen=True)
class Resolution:
    """Where each row of a file belongs.

    Attributes
    ----------
    index
        Position in the vocabulary, ``-1`` where unresolved; int64, shape ``(n_rows,)``.
    route
        One of :data:`ROUTES` a row, shape ``(n_rows,)``.
    conflicts
        Rows whose id and symbol disagree; the id was followed.
    """

    index: np.ndarray
    route: np.ndarray
    conflicts: tuple[Conflict, ...]


class Resolver:
    """Resolves gene names to positions in `vocabulary`.

    The first step that applies decides: Ensembl id without version, symbol as in the vocabulary,
    approved symbol, previous symbol of one gene, alias of one gene. Names are case-sensitive and
    nothing is stripped from symbols. Synonyms go by the symbol they stand for, so that they serve
    every vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._names = _names(vocabulary)

    def resolve(
        self, ids: Sequence[str] | None = None, symbols: Sequence[str] | None = None
    ) -> Resolution:
        """Resolve rows that have an id, a symbol or both.

        Parameters
        ----------
        ids, symbols
            One name a row, ``""`` or missing where there is none; ``None`` where the file has no such
            column. An Ensembl id is found in either, as is a symbol in `ids`.

        Raises
        ------
        ValueError
            Neither is given, or they differ in length.
        """
        if ids is None and symbols is None:
            raise ValueError("give ids, symbols or both")
        ids = [""] * len(symbols) if ids is None else _texts(ids)
        symbols = [""] * len(ids) if symbols is None else _texts(symbols)
        rows = [self._row(*names) for names in zip(ids, symbols, strict=True)]
        index = np.array([row[0] for row in rows], dtype=np.int64)
        route = np.array([row[1] for row in rows], dtype=object)
        conflicts = self._conflicts(ids, symbols, index, route)
        return Resolution(index, route, conflicts)

    def _row(self, gene_id: str, symbol: str) -> tuple[int, str]:
        known = self._by_id(gene_id, symbol)
        if known >= 0:
            return known, "ensembl_id"
        # A mouse row is no human row, even where its symbol happens to be spelled like one (C3).
        if any(is_foreign_id(name) and name not in self._names for name in (gene_id, symbol)):
            return -1, "other_species"
        return self._by_name(_symbol(gene_id, symbol))

    def _by_id(self, *names: str) -> int:
        known = self.vocabulary.index_of_ensembl
        found = (known.get(bare_id(name), -1) for name in names)
        return next((index for index in found if index >= 0), -1)

    def _by_name(self, name: str) -> tuple[int, str]:
        if name.endswith(CHRM_SUFFIX):
            return -1, "chrM"
        if name in self._names:
            return self._names[name]
        return -1, "other_species" if looks_like_other_species(name) else "unresolved"

    def _conflicts(
        self,
        ids: Sequence[str],
        symbols: Sequence[str],
        index: np.ndarray,
        route: np.ndarray,
    ) -> tuple[Conflict, ...]:
        conflicts = []
        genes = self.vocabulary.symbols
        for row in np.flatnonzero(route == "ensembl_id"):
            gene_id, symbol, kept = ids[row], symbols[row], index[row]
            other, _ = self._by_name(_symbol(gene_id, symbol))
            if other not in (-1, kept):
                conflicts.append(Conflict(int(row), gene_id, symbol, genes[kept], genes[other]))
        return tuple(conflicts)


def _texts(names: Sequence[str]) -> list[str]:
    """A missing name (NaN, None) of a table as an empty one."""
    return [name if isinstance(name, str) else "" for name in names]


def _symbol(gene_id: str, symbol: str) -> str:
    """The row's name that is not an Ensembl id: columns may be mixed up or hold either."""
    return next((name for name in (symbol, gene_id) if name and not is_ensembl_id(name)), "")


def _names(vocabulary: Vocabulary) -> dict[str, tuple[int, str]]:
    """Position and route of every name; a vocabulary symbol comes before all other meanings."""
    names = {symbol: (index, "symbol") for symbol, index in vocabulary.index_of_symbol.items()}
    for name, synonym in synonyms().items():
        index = vocabulary.index_of_symbol.get(synonym.symbol)
        if index is not None:
            names.setdefault(name, (index, synonym.kind))
    for name in ambiguous_names():
        names.setdefault(name, (-1, "ambiguous"))
    return names

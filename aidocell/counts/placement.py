"""Where each row of a file goes in a vocabulary, and whether that is good enough."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse

from aidocell.counts.names import GeneNames
from aidocell.errors import InputError
from aidocell.genes import Resolution, Resolver, Vocabulary, species_of

__all__ = ["Placement"]

# What names of genes of other kinds look like.
_FORMS = {
    "numbers": re.compile(r"\d+"),
    "Ensembl gene ids": re.compile(r"ENS[A-Z]*G\d+.*", re.IGNORECASE),
    "Ensembl transcript ids": re.compile(r"ENS[A-Z]*T\d+.*", re.IGNORECASE),
    "RefSeq ids": re.compile(r"[NX][MRP]_\d+.*"),
    "Affymetrix probes": re.compile(r".*_at"),
    "Illumina probes": re.compile(r"ILMN_\d+"),
    "genome positions": re.compile(r"chr\w+[:_-]\d+.*", re.IGNORECASE),
}
_resolver = lru_cache(maxsize=4)(Resolver)


@dataclass(frozen=True, eq=False)
class Placement:
    """Rows of a file and the genes of a vocabulary that they mean.

    Attributes
    ----------
    vocabulary
        Genes in the order of the model.
    rows
        Name of each row in the file's own table.
    ids, symbols
        Names of each row by kind, ``""`` where it has none of the kind.
    resolution
        Gene and route of each row.
    present
        Which rows were measured: all, except in an aligned file; shape ``(n_rows,)``.
    """

    vocabulary: Vocabulary
    rows: Sequence[str]
    ids: Sequence[str]
    symbols: Sequence[str]
    resolution: Resolution
    present: np.ndarray

    @classmethod
    def of(
        cls,
        rows: Sequence[str],
        names: GeneNames,
        *,
        vocabulary: Vocabulary | None = None,
        measured: np.ndarray | None = None,
    ) -> Placement:
        """Resolve the rows of a file.

        Parameters
        ----------
        rows
            Names of the rows in the file's own table.
        names
            Their ids and symbols.
        vocabulary
            The built-in one if not given.
        measured
            Boolean, one a row, where the file is an aligned one.
        """
        vocabulary = vocabulary or Vocabulary.builtin()
        rows = [str(row) for row in rows]
        nameless = [""] * len(rows)
        ids, symbols = names.ids or nameless, names.symbols or nameless
        present = np.ones(len(rows), bool) if measured is None else np.asarray(measured, bool)
        resolution = _resolver(vocabulary).resolve(ids, symbols)
        return cls(vocabulary, rows, ids, symbols, resolution, present)

    @cached_property
    def names(self) -> list[str]:
        """Name of each row for people: its symbol, else its id, else what the file calls it."""
        return [
            symbol or gene_id or row
            for symbol, gene_id, row in zip(self.symbols, self.ids, self.rows, strict=True)
        ]

    @cached_property
    def resolved(self) -> np.ndarray:
        """Which rows are measured and mean a gene of the vocabulary; shape ``(n_rows,)``."""
        return self.present & (self.resolution.index >= 0)

    @cached_property
    def measured(self) -> np.ndarray:
        """Which genes of the vocabulary the file measured; shape ``(len(vocabulary),)``."""
        measured = np.zeros(len(self.vocabulary), dtype=bool)
        measured[self.resolution.index[self.resolved]] = True
        return measured

    @cached_property
    def _columns(self) -> sparse.csr_matrix:
        rows = np.flatnonzero(self.resolved)
        entries = (np.ones(len(rows), np.int64), (rows, self.resolution.index[rows]))
        return sparse.csr_matrix(entries, shape=(len(self.present), len(self.vocabulary)))

    def place(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Put the columns of a chunk where the model has them, adding up those of one gene.

        Parameters
        ----------
        counts
            Raw counts, whole numbers, shape ``(n_cells, n_rows)``.

        Returns
        -------
        aligned
            CSR, shape ``(n_cells, len(vocabulary))``, sorted; int32, or int64 where a sum needs it.
        """
        aligned = sparse.csr_matrix(counts.astype(np.int64) @ self._columns)
        aligned.sort_indices()
        if aligned.nnz == 0 or aligned.data.max() <= np.iinfo(np.int32).max:
            aligned.data = aligned.data.astype(np.int32)
        return aligned

    def require_human(self, *, where: str) -> None:
        """Raise ``E_SPECIES`` where most rows are names or ids of another species."""
        foreign = np.flatnonzero(self.present & (self.resolution.route == "other_species"))
        rows = int(self.present.sum())
        if 2 * len(foreign) <= rows:
            return
        names = [
            name
            for row in foreign
            for name in (self.ids[row], self.symbols[row])
            if species_of(name)
        ]
        species = Counter(map(species_of, names)).most_common(1)[0][0]
        raise InputError(
            "E_SPECIES",
            f"{len(foreign):,} of {rows:,} genes in {where} have names of {species}"
            f" ({', '.join(names[:5])})",
            fix="give human data, or a model of that species",
        )

    def require_known(self, umis: np.ndarray, *, where: str, min_share: float) -> None:
        """Raise ``E_GENES_UNKNOWN`` where too few UMIs are on genes of the vocabulary.

        Parameters
        ----------
        umis
            Total counts of each row, int64. A file without any count is judged by whether any
            row is known at all.
        where
            The file as the user knows it.
        min_share
            Least share of resolved UMIs, between 0 and 1.
        """
        total, known = int(umis.sum()), int(umis[self.resolved].sum())
        if self.resolved.any() and known >= min_share * total:
            return
        share = known / total if total else 0.0
        raise InputError(
            "E_GENES_UNKNOWN",
            f"{share:.1%} of the counts in {where} are on genes that the model knows, at least"
            f" {min_share:.0%} are needed; not known are {self._unknown_examples(umis)}",
            fix="name the column of var with Ensembl ids or gene symbols by --gene-ids",
        )

    def _unknown_examples(self, umis: np.ndarray) -> str:
        unknown = np.flatnonzero(self.present & ~self.resolved)
        largest = unknown[np.argsort(-umis[unknown], kind="stable")]
        names = [self.names[row] for row in largest]
        looks = Counter(map(_looks_like, names)).most_common(1)
        examples = ", ".join(repr(name) for name in names[:5])
        return f"{examples} (most look like {looks[0][0]})" if looks else "none"


def _looks_like(name: str) -> str:
    """What kind of name this is, in plain words."""
    for kind, form in _FORMS.items():
        if form.fullmatch(name):
            return kind
    if species := species_of(name):
        return f"genes of {species}"
    return "names in no list of human genes" if name else "empty names"

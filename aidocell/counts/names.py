"""What the rows of a matrix are: gene expression or not, which genome, which gene names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aidocell.errors import InputError
from aidocell.genes.ensembl import is_ensembl_id
from aidocell.genes.species import is_human_name

__all__ = [
    "GeneNames",
    "count_feature_types",
    "gene_expression_rows",
    "gene_names",
    "is_human",
    "other_genome_rows",
    "strip_genome",
    "texts",
]

ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "feature_id")
SYMBOL_COLUMNS = ("gene_symbols", "gene_name", "feature_name")
INDEX = "index"

# Cell Ranger writes "Gene Expression"; "GEX" and "RNA" are how other multi-modal files say it.
_EXPRESSION = {"gene expression", "gex", "rna", "gene"}
_HUMAN = re.compile(r"(grch\d+|hg\d+|hs1$|t2t|chm13|homo|human)", re.IGNORECASE)
# Assemblies that mixed references put before gene names, followed by one or more underscores.
_PREFIX = re.compile(
    r"((?:GRCh|hg|GRCm|mm|GRCz|danRer|Rnor|rn|dm|ce|BDGP|susScr|rheMac|macFas|sacCer)\d+"
    r"(?:[.-][A-Za-z0-9.]+)*|T2T-CHM13(?:v[\d.]+)?|mRatBN[\d.]+)_+(?=[^_])"
)


@dataclass(frozen=True)
class GeneNames:
    """Names of the genes of a matrix, without genome prefixes.

    Attributes
    ----------
    ids
        Ensembl id of each row, ``""`` where it has none; ``None`` if no row has one.
    symbols
        Symbol of each row, likewise.
    columns
        Where ids and symbols came from: a column of var, ``"index"``, or ``None``.
    """

    ids: list[str] | None
    symbols: list[str] | None
    columns: tuple[str | None, str | None] = (None, None)


def texts(values: Iterable) -> list[str]:
    """Strings of any column: bytes decoded, blanks around them removed, missing ones empty."""
    return [_text(value) for value in values]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    return "" if pd.isna(value) else str(value).strip()


# ---------------------------------------------------------------- feature types


def gene_expression_rows(var: pd.DataFrame) -> np.ndarray:
    """Which rows are gene expression, shape ``(n_rows,)``; all if the file does not say."""
    types = _feature_types(var)
    if types is None:
        return np.ones(len(var), dtype=bool)
    return np.array([_plain(name) in _EXPRESSION for name in types], dtype=bool)


def count_feature_types(var: pd.DataFrame) -> dict[str, int]:
    """Rows by feature type, as the file spells them; ``Gene Expression`` if it does not say."""
    types = _feature_types(var)
    if types is None:
        return {"Gene Expression": len(var)}
    return dict(Counter(name or "(no type)" for name in types))


def _feature_types(var: pd.DataFrame) -> list[str] | None:
    types = texts(var["feature_types"]) if "feature_types" in var else []
    return types if any(types) else None


def is_human(genome: str) -> bool:
    """Whether a genome's name (``GRCh38-2020-A``, ``hg19``) is one of the human genome."""
    return _HUMAN.match(genome) is not None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


# ---------------------------------------------------------------- genomes


def other_genome_rows(var: pd.DataFrame) -> np.ndarray:
    """Rows of a mixed reference that belong to another genome than the human one.

    Genomes come from the column ``genome`` or from prefixes (``mm10_Actb``). In a file of one
    genome every row is kept, whatever it is called.
    """
    genomes = _genomes(var)
    known = {name for name in genomes if name}
    human = {name for name in known if is_human(name)}
    if not human and len(known) == len(set(genomes)):
        return np.zeros(len(var), dtype=bool)  # one genome, or none of them human
    return np.array([bool(name) and name not in human for name in genomes], dtype=bool)


def _genomes(var: pd.DataFrame) -> list[str]:
    column = texts(var["genome"]) if "genome" in var else []
    if len({name for name in column if name}) > 1:
        return column
    return [_prefix(name) for name in texts(var.index)]


def _prefix(name: str) -> str:
    found = _PREFIX.match(name)
    return found.group(1) if found else ""


def strip_genome(names: Iterable[str], genomes: Iterable[str] = ()) -> list[str]:
    """Names without the prefix of their genome (``GRCh38_CD4`` is ``CD4``).

    `genomes` are further prefixes to strip, as the file's own column ``genome`` names them.
    """
    own = [re.escape(name) for name in genomes if name]
    pattern = re.compile("|".join([*(rf"(?:{name})_+(?=[^_])" for name in own), _PREFIX.pattern]))
    return [pattern.sub("", name, count=1) if pattern.match(name) else name for name in names]


# ---------------------------------------------------------------- gene names


def gene_names(var: pd.DataFrame, gene_ids: str | None = None) -> GeneNames:
    """Find the Ensembl ids and the symbols of the rows of `var`.

    Without `gene_ids`, ids are looked for in the index and in ``gene_ids``, ``gene_id``,
    ``ensembl_id``, ``feature_id``, symbols in the index and in ``gene_symbols``, ``gene_name``,
    ``feature_name``. The first column that mostly holds the kind in question leads (of symbols:
    names of genes rather than numbers of rows); a row without such a name there takes it from
    the next. What a cell of the table holds, id or symbol, is seen from its form, so that an id
    among symbols is found as well.

    Parameters
    ----------
    var
        Table of the genes; its index counts as a column named ``index``.
    gene_ids
        Column to use for the kind of names that it holds. If these are symbols, no ids of other
        columns are used, since an id would win over them.

    Raises
    ------
    InputError
        ``E_GENE_COLUMN``: `gene_ids` is no column of `var`.
    """
    columns = _columns(var)
    if gene_ids is not None:
        asked = _asked_column(var, columns, gene_ids)
        if not _mostly(asked, is_ensembl_id):
            return _collect({gene_ids: asked}, {gene_ids: asked})
        symbols = _known_first(_pick(columns, SYMBOL_COLUMNS))
        return _collect({gene_ids: asked}, {**symbols, gene_ids: asked})
    ids, symbols = _pick(columns, ID_COLUMNS), _pick(columns, SYMBOL_COLUMNS)
    return _collect({**_ids_first(ids), **symbols}, {**_known_first(symbols), **ids})


def _columns(var: pd.DataFrame) -> dict[str, list[str]]:
    wanted = [name for name in (*ID_COLUMNS, *SYMBOL_COLUMNS) if name in var]
    genomes = set(texts(var["genome"])) if "genome" in var else set()
    raw = {INDEX: var.index, **{name: var[name] for name in wanted}}
    return {name: strip_genome(texts(values), genomes) for name, values in raw.items()}


def _asked_column(var: pd.DataFrame, columns: dict[str, list[str]], name: str) -> list[str]:
    if name in columns:
        return columns[name]
    if name in var:
        genomes = set(texts(var["genome"])) if "genome" in var else set()
        return strip_genome(texts(var[name]), genomes)
    if name == var.index.name:
        return columns[INDEX]
    there = ", ".join(map(str, [INDEX, *var.columns]))
    raise InputError(
        "E_GENE_COLUMN",
        f"there is no column '{name}' in the gene table (columns: {there})",
        fix="give one of those to --gene-ids, or leave the option out",
    )


def _pick(columns: dict[str, list[str]], names: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: columns[name] for name in (INDEX, *names) if name in columns}


def _ids_first(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Columns that mostly hold ids first; the others fill their gaps."""
    order = sorted(columns, key=lambda name: not _mostly(columns[name], is_ensembl_id))
    return {name: columns[name] for name in order}


def _known_first(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Columns with the most names of genes first, or with half as many; the others fill gaps."""
    known = {name: sum(map(is_human_name, values)) for name, values in columns.items()}
    most = max(known.values(), default=0)
    order = sorted(columns, key=lambda name: 2 * known[name] < most)
    return {name: columns[name] for name in order}


def _collect(id_columns: dict[str, list[str]], symbol_columns: dict[str, list[str]]) -> GeneNames:
    ids, id_column = _first(id_columns, is_ensembl_id)
    symbols, symbol_column = _first(symbol_columns, _is_symbol)
    return GeneNames(ids, symbols, (id_column, symbol_column))


def _first(
    columns: dict[str, list[str]], fits: Callable[[str], bool]
) -> tuple[list[str] | None, str | None]:
    """For each row the first name that fits, and the column which gave the first of them all."""
    found: list[str] = []
    source = None
    for name, values in columns.items():
        fitting = [value if fits(value) else "" for value in values]
        if source is None and any(fitting):
            source, found = name, fitting
        elif source is not None:
            found = [old or new for old, new in zip(found, fitting, strict=True)]
    return (found, source) if source else (None, None)


def _is_symbol(name: str) -> bool:
    return bool(name) and not name.isdigit() and not is_ensembl_id(name)


def _mostly(values: list[str], fits: Callable[[str], bool]) -> bool:
    filled = [value for value in values if value]
    return bool(filled) and 2 * sum(map(fits, filled)) >= len(filled)

"""The list of genes that a checkpoint was trained on, in its order."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from aidocell.errors import InputError
from aidocell.genes.ensembl import bare_id, is_ensembl_id
from aidocell.genes.tables import FOLDER, rows_of

__all__ = ["CHRM_SUFFIX", "Vocabulary", "vocabulary_of"]

# A second entry of a mitochondrial gene, which no input fills.
CHRM_SUFFIX = "__chrM"
_HUB_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Genes in the order of the model; two vocabularies are equal where their sha256 is.

    Parameters
    ----------
    symbols
        Name of every gene, unique.
    ensembl_ids
        Ensembl id of every gene, ``""`` where it has none; as long as `symbols`.

    Raises
    ------
    InputError
        ``E_MODEL_CONFIG``: no genes, lists of different length, or names that are empty or
        stand for two genes.
    """

    symbols: tuple[str, ...]
    ensembl_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} genes, sha256 {self.sha256[:12]})"

    @classmethod
    def builtin(cls) -> Vocabulary:
        """The 19,264 genes of the official checkpoints."""
        return _builtin()

    @classmethod
    def read(cls, path: str | Path) -> Vocabulary:
        """A checkpoint's own genes.tsv: columns ``symbol`` and ``ensembl_id``, others ignored.

        Without a column ``ensembl_id`` genes are known by symbol alone.

        Raises
        ------
        InputError
            ``E_MODEL_CONFIG``: not such a table, or its names are empty or repeat.
        """
        try:
            rows = rows_of(Path(path))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _bad(f"{path} cannot be read as a table of genes ({error})") from error
        if not rows or any(row.get("symbol") is None for row in rows):
            raise _bad(f"{path} has no genes in a column 'symbol'")
        try:
            return cls(
                tuple(row["symbol"] for row in rows),
                tuple(row.get("ensembl_id") or "" for row in rows),
            )
        except InputError as error:
            raise _bad(f"{path}: {error.what}") from error

    def write(self, path: str | Path) -> None:
        """Write a ``genes.tsv`` that `read` takes."""
        with Path(path).open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
            writer.writerow(["symbol", "ensembl_id"])
            writer.writerows(zip(self.symbols, self.ensembl_ids, strict=True))

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 over one line ``symbol<tab>ensembl_id`` a gene, in order."""
        digest = hashlib.sha256()
        for symbol, ensembl_id in zip(self.symbols, self.ensembl_ids, strict=True):
            digest.update(f"{symbol}\t{ensembl_id}\n".encode())
        return digest.hexdigest()

    @property
    def is_builtin(self) -> bool:
        """Whether these are the genes of the official checkpoints, in their order."""
        return self == Vocabulary.builtin()

    @cached_property
    def index_of_symbol(self) -> dict[str, int]:
        """Position of every symbol."""
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    @cached_property
    def index_of_ensembl(self) -> dict[str, int]:
        """Position of every Ensembl id without its version, the ``__chrM`` entries left out.

        An id that a list gives as symbol counts as well.
        """
        return dict(_ids(self))


@cache
def _builtin() -> Vocabulary:
    return Vocabulary.read(FOLDER / "genes.tsv")


def _ids(vocabulary: Vocabulary) -> Iterable[tuple[str, int]]:
    for index, (symbol, ensembl_id) in enumerate(
        zip(vocabulary.symbols, vocabulary.ensembl_ids, strict=True)
    ):
        name = ensembl_id or (symbol if is_ensembl_id(symbol) else "")
        if name and not symbol.endswith(CHRM_SUFFIX):
            yield bare_id(name), index


def _check(vocabulary: Vocabulary) -> None:
    if not vocabulary.symbols:
        raise _bad("the list of genes is empty")
    if len(vocabulary.symbols) != len(vocabulary.ensembl_ids):
        raise _bad(
            f"{len(vocabulary.symbols)} symbols but {len(vocabulary.ensembl_ids)} Ensembl ids"
        )
    if "" in vocabulary.symbols:
        raise _bad(f"gene {vocabulary.symbols.index('') + 1} has an empty symbol")
    _refuse_repeats("symbol", vocabulary.symbols)
    _refuse_repeats("Ensembl id", [ensembl_id for ensembl_id, _ in _ids(vocabulary)])


def _refuse_repeats(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    repeated = [name for name in names if name in seen or seen.add(name)]
    if repeated:
        raise _bad(f"{kind} repeats: {', '.join(repeated[:5])}")


def _bad(what: str) -> InputError:
    return InputError(
        "E_MODEL_CONFIG",
        what,
        fix="give the genes.tsv that belongs to the checkpoint: one gene a line, in model order",
    )


def vocabulary_of(checkpoint: str | Path) -> Vocabulary:
    """The gene list that a checkpoint folder brings, else the built-in one (also for a hub id).

    Raises
    ------
    InputError
        ``E_MODEL_MISSING``: no folder of a checkpoint, nor of the form of a hub id.
        ``E_MODEL_CONFIG``: its list is bad.
    """
    folder = Path(checkpoint).expanduser()
    own = folder / "genes.tsv"
    if own.is_file():
        return Vocabulary.read(own)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise _no_checkpoint(f"{folder} has no config.json")
    if not folder.is_dir() and not _HUB_ID.fullmatch(str(checkpoint)):
        raise _no_checkpoint(f"{checkpoint} is neither a folder nor a hub id")
    return Vocabulary.builtin()


def _no_checkpoint(what: str) -> InputError:
    fix = "give a folder with config.json and weights, or a hub id such as genbio-ai/AIDO.Cell-3M"
    return InputError("E_MODEL_MISSING", what, fix=fix)

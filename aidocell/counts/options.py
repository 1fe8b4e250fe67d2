"""How an INPUT is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["InputOptions"]


@dataclass(frozen=True)
class InputOptions:
    """The options that every command which reads an INPUT takes.

    Parameters
    ----------
    layer
        A layer, or ``"raw"`` for ``.raw``; ``None`` reads X.
    gene_ids
        Column of var that names the genes, with Ensembl ids or symbols.
    cells
        File of barcodes, one a line; only these cells are read.
    round
        Accept estimated, fractional counts and round them; normalised values are refused all
        the same.
    """

    layer: str | None = None
    gene_ids: str | None = None
    cells: Path | None = None
    round: bool = False

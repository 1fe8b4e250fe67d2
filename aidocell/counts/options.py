"""How an INPUT is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aidocell.files import sha256_file

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

    def made_from(self, input_sha256: str) -> dict:
        """What a stage that reads the INPUT depends on, in plain values, without paths."""
        return {
            "input_sha256": input_sha256,
            "options": {
                "layer": self.layer,
                "gene_ids": self.gene_ids,
                "cells_sha256": sha256_file(self.cells) if self.cells else None,
                "round": self.round,
            },
        }

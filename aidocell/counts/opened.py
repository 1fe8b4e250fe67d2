"""A count matrix as its format gives it, before any choice of cells and genes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from aidocell.counts.celltable import CellTable
from aidocell.counts.matrix import Matrix
from aidocell.errors import InputError

__all__ = ["Opened", "layer_missing"]


def _no_others() -> Iterator[tuple[str, Matrix]]:
    return iter(())


def _nothing() -> None:
    return None


@dataclass
class Opened:
    """Matrix, cells and genes of an opened file.

    Attributes
    ----------
    format
        ``"h5ad"``, ``"10x-h5"``, ``"10x-mtx"``, ``"zarr"`` or ``"counts"``.
    where
        The matrix as the user knows it, for messages.
    cells, var
        Tables of cells and genes as the file has them.
    other_genome
        Rows of other genomes that the file keeps apart and that are not in `var`.
    measured
        Genes measured at all, of an aligned file.
    others
        The file's other matrices, each with the advice that names it.
    close
        Closes the file.
    """

    path: Path
    format: str
    where: str
    matrix: Matrix
    cells: CellTable
    var: pd.DataFrame
    other_genome: int = 0
    measured: np.ndarray | None = None
    others: Callable[[], Iterator[tuple[str, Matrix]]] = field(default=_no_others)
    close: Callable[[], None] = field(default=_nothing)


def layer_missing(path: Path, layer: str, there: list[str]) -> InputError:
    """``E_LAYER_MISSING`` with the layers that are there."""
    fix = "give one of those to --layer, or leave the option out" if there else "leave out --layer"
    what = f"{path} has no layer '{layer}' (layers: {', '.join(there) or 'none'})"
    return InputError("E_LAYER_MISSING", what, fix=fix)

"""The cells of a pre-training: those to learn from, those set apart, and the genes drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from aidocell.errors import InputError
from aidocell.model import preprocess
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.streaming import StoredCells, Stream

__all__ = ["Material"]

_SPLIT_SEED = 0  # the same for every seed, so that losses compare
_MOST_HELD_OUT = 512
_CHUNK = 1024  # cells in memory while variances are added up


@dataclass(frozen=True)
class Material:
    """The cells of a training.

    Attributes
    ----------
    stored
        All of them.
    held_out
        Numbers of the cells set apart, in order, and their raw counts.
    genes
        Those that are drawn from; None takes all in order.
    """

    stored: StoredCells
    held_out: np.ndarray
    held_out_counts: sparse.csr_matrix
    genes: np.ndarray | None

    @classmethod
    def of(cls, stored: StoredCells, options: PretrainOptions) -> Material:
        """Set cells apart and choose genes.

        Raises
        ------
        InputError
            ``E_NO_CELLS``: too few.
        """
        held_out, genes = _held_out(stored, options), None
        if options.genes_per_cell is not None:
            number = options.variable_genes or stored.measured.shape[1]
            genes = _most_variable(stored, np.union1d(held_out, stored.empty), number)
        counts = stored.chosen(held_out, block_cells=options.block_cells)
        return cls(stored, held_out, counts, genes)

    def stream(self, options: PretrainOptions, seed: int) -> Stream:
        """The cells to train on."""
        left_out = np.union1d(self.held_out, self.stored.empty)
        return Stream(
            self.stored,
            left_out,
            seed=seed,
            block_cells=options.block_cells,
            blocks=options.blocks,
        )

    def measured(self, cells: np.ndarray) -> np.ndarray:
        """Which genes the files of some cells measured, shape ``(cells, genes)``."""
        return self.stored.measured[self.stored.file_of(cells)]


def _held_out(stored: StoredCells, options: PretrainOptions) -> np.ndarray:
    """Numbers of random cells, in order; none without a count."""
    there = len(stored) - len(stored.empty)
    number = options.validation_cells or max(min(there // 10, _MOST_HELD_OUT), 1)
    if there - number < max(number, 1):
        raise InputError(
            "E_NO_CELLS",
            f"{number} of {there} cells with a count are to be set apart for validation",
            fix="give more cells, or a smaller validation_cells: at most half of them",
        )
    drawn = np.random.default_rng(_SPLIT_SEED).choice(
        len(stored), number + len(stored.empty), replace=False
    )
    return np.sort(drawn[~np.isin(drawn, stored.empty)][:number])


def _most_variable(stored: StoredCells, left_out: np.ndarray, number: int) -> np.ndarray:
    """Genes whose input values vary most among the cells to learn from, the first one most."""
    total, squares = np.zeros((2, stored.measured.shape[1]))
    for start, stop in zip(stored.blocks(_CHUNK), stored.blocks(_CHUNK)[1:], strict=False):
        (counts,) = stored.rows([(int(start), int(stop))])
        kept = counts[~np.isin(np.arange(start, stop), left_out)]
        values = preprocess(torch.from_numpy(kept.toarray()))[:, :-2].double()
        total += values.sum(0).numpy()
        squares += values.square().sum(0).numpy()
    cells = len(stored) - len(left_out)
    variance = squares / cells - (total / cells) ** 2
    return np.argsort(-variance, kind="stable")[:number]

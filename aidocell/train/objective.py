"""Read-depth-aware masked expression: what the network sees of a cell, and what it should say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from aidocell.model import AidoCell, preprocess
from aidocell.model.network import MASKED
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.thinning import thinned

__all__ = ["Draw", "Predictor", "Samples", "draw", "squared_error"]


@dataclass(frozen=True)
class Draw:
    """What was drawn for some cells.

    Attributes
    ----------
    full, seen
        Raw counts, shape ``(cells, genes)``: all of them, and those left by thinning.
    positions
        Genes drawn of each cell, shape ``(cells, drawn)``; None where all are taken in order.
    masked
        Boolean, shape ``(cells, drawn)``: which of them are hidden.
    """

    full: sparse.csr_matrix
    seen: sparse.csr_matrix
    positions: np.ndarray | None
    masked: np.ndarray

    @property
    def n_masked(self) -> int:
        return int(self.masked.sum())

    def __getitem__(self, rows: slice) -> Draw:
        positions = None if self.positions is None else self.positions[rows]
        return Draw(self.full[rows], self.seen[rows], positions, self.masked[rows])

    def samples(self, device: torch.device) -> Samples:
        """As the model's input and target."""
        target = preprocess(_dense(self.full, device))
        values = preprocess(_dense(self.seen, device))
        values[:, -2] = target[:, -2]  # the depth wanted is the full one
        positions = None
        if self.positions is not None:
            genes = torch.from_numpy(self.positions).to(device)
            depth = torch.arange(values.shape[1] - 2, values.shape[1], device=device)
            positions = torch.cat([genes, depth.expand(len(genes), 2)], dim=1)
            values, target = values.gather(1, positions), target.gather(1, positions)
        masked = torch.from_numpy(np.pad(self.masked, ((0, 0), (0, 2)))).to(device)
        return Samples(values.masked_fill(masked, MASKED), positions, masked, target)


@dataclass(frozen=True)
class Samples:
    """A batch of cells as tensors, all of shape ``(cells, drawn + 2)``.

    Attributes
    ----------
    values, positions
        Input with masked genes at −1, and rows of the position table, None for all in order.
    masked
        Boolean: which entries count.
    target
        Values at full depth.
    """

    values: Tensor
    positions: Tensor | None
    masked: Tensor
    target: Tensor


class Predictor(nn.Module):
    """Input values to predicted values, at all genes or at some."""

    def __init__(self, network: AidoCell) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: Tensor, positions: Tensor | None) -> Tensor:
        hidden = self.network.bert(values, positions, self.network.attention)
        return self.network.expression_head(hidden)


def squared_error(predicted: Tensor, samples: Samples) -> Tensor:
    """Sum over the masked genes, zeros and non-zeros alike."""
    error = predicted.float() - samples.target
    return torch.where(samples.masked, error, 0).square().sum()


def draw(
    counts: sparse.csr_matrix,
    measured: np.ndarray,
    keys: Sequence[Sequence[int]],
    options: PretrainOptions,
    genes: np.ndarray | None,
) -> Draw:
    """Thin and mask cells, each by a generator of its own.

    Parameters
    ----------
    counts
        Raw counts, shape ``(cells, genes)``.
    measured
        Boolean, the same shape: genes that the cell's file measured. A zero elsewhere says nothing
        and is never to be predicted.
    keys
        Whole numbers, one list a cell, that seed its generator.
    genes
        Those to draw ``genes_per_cell`` from; None takes all genes in order.
    """
    generators = [np.random.default_rng(key) for key in keys]
    seen = thinned(counts, generators, options)
    positions = None
    if genes is not None:
        number = min(options.genes_per_cell, len(genes))
        positions = np.stack([g.choice(genes, number, replace=False) for g in generators])
    there = counts.toarray() > 0
    if positions is not None:
        rows = np.arange(len(keys))[:, None]
        there, measured = there[rows, positions], measured[rows, positions]
    masked = np.zeros(there.shape, bool)
    for row, generator in enumerate(generators):
        for among, share in (
            (there[row], options.masked_share),
            (measured[row] & ~there[row], options.masked_zero_share),
        ):
            masked[row, _some(np.flatnonzero(among), share, generator)] = True
    return Draw(counts, seen, positions, masked)


def _some(places: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """A random share of `places`, rounded up."""
    number = math.ceil(share * len(places))
    return generator.choice(places, number, replace=False, shuffle=False)


def _dense(counts: sparse.csr_matrix, device: torch.device) -> Tensor:
    return torch.from_numpy(counts.toarray()).to(device)

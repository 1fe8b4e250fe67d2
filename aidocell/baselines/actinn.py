"""ACTINN, re-implemented: the published network on all but the genes at the extremes.

After Ma & Pellegrini, Bioinformatics 36 (2020) 533, and the authors' program: hidden layers of 100,
50 and 25 ReLU; Glorot's uniform weights; cross-entropy with half of 0.005 times the squared
weights; Adam from a rate of 1e-4 that falls by 5% every 1,000 steps; batches of 128; 50 epochs. The
input is log2(x + 1) of counts per 10,000, of genes whose sum and then whose coefficient of
variation lie within the 1st and 99th percentile.

What differs: the program normalises training and test cells together and chooses the genes from
both, here they are chosen from the training cells alone; genes without a count are left out before
the percentiles; and the random numbers are others. On a few dozen cells 50 epochs are as many
steps, which teach the network nothing; it was made for thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.utils.sparsefuncs import mean_variance_axis

from aidocell.baselines import Unavailable
from aidocell.baselines.genes import log_normalise
from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import one_torch_thread

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Fitted", "chosen_genes", "fit", "predict_proba"]

HIDDEN = (100, 50, 25)
EPOCHS = 50
BATCH = 128
RATE = 1e-4
RATE_DECAY, DECAY_STEPS = 0.95, 1_000
WEIGHT_DECAY = 0.005
PERCENTILES = (1, 99)


@dataclass(frozen=True)
class Fitted:
    """Chosen columns, and weights ``(inputs, outputs)`` and biases of each layer."""

    columns: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    classes_: np.ndarray


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels, on the CPU.

    The cells are sorted first, so that their order does not decide who shares a batch.
    """
    order = canonical_order(X, y)
    values = _log2(X)[order]
    columns = chosen_genes(values)
    classes, codes = np.unique(np.asarray(y)[order], return_inverse=True)
    rng = np.random.default_rng(seed)
    layers = _new_layers((len(columns), *HIDDEN, len(classes)), rng)
    with one_torch_thread():
        _train(layers, values[:, columns], codes, rng)
    weights, biases = ([tensor.detach().numpy() for tensor in kind] for kind in layers)
    return Fitted(columns, weights, biases, classes)


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Probabilities, shape ``(cells, classes)``, in the order of ``fitted.classes_``."""
    values = _log2(X)[:, fitted.columns] @ fitted.weights[0].astype(np.float64) + fitted.biases[0]
    for weight, bias in zip(fitted.weights[1:], fitted.biases[1:], strict=True):
        values = np.maximum(values, 0) @ weight + bias
    return softmax(values, axis=1)


def chosen_genes(values: sparse.csr_matrix) -> np.ndarray:
    """Columns of genes that are neither among the highest nor the lowest 1%, twice.

    Parameters
    ----------
    values
        log2(x + 1) of counts per 10,000 of the training cells, shape ``(cells, genes)``.

    Raises
    ------
    Unavailable
        No gene is left.
    """
    mean, variance = mean_variance_axis(values, axis=0)
    columns = np.flatnonzero(mean > 0)
    for of in (lambda c: mean[c], lambda c: np.sqrt(variance[c]) / mean[c]):
        if columns.size:
            low, high = np.percentile(of(columns), PERCENTILES)
            columns = columns[(of(columns) >= low) & (of(columns) <= high)]
    if not columns.size:
        raise Unavailable("no gene is expressed that is neither among the highest nor the lowest")
    return columns


def _log2(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    return log_normalise(counts) / np.log(2)


def _new_layers(
    sizes: tuple[int, ...], rng: np.random.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """Glorot's uniform weights, and biases of zero."""
    import torch

    weights, biases = [], []
    for inputs, outputs in pairwise(sizes):
        limit = np.sqrt(6 / (inputs + outputs))
        weight = rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        weights.append(torch.from_numpy(weight).requires_grad_())
        biases.append(torch.zeros(outputs, requires_grad=True))
    return weights, biases


def _train(
    layers: tuple[list[Tensor], list[Tensor]],
    values: sparse.csr_matrix,
    codes: np.ndarray,
    rng: np.random.Generator,
) -> None:
    import torch

    weights, biases = layers
    groups = [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": biases}]
    optimiser = torch.optim.Adam(groups, lr=RATE)
    rate = torch.optim.lr_scheduler.StepLR(optimiser, DECAY_STEPS, RATE_DECAY)
    for _ in range(EPOCHS):
        shuffled = rng.permutation(len(codes))
        for start in range(0, len(codes), BATCH):
            cells = shuffled[start : start + BATCH]
            logits = torch.from_numpy(values[cells].toarray().astype(np.float32))
            for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                logits = (logits.relu() if layer else logits) @ weight + bias
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(codes[cells]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()

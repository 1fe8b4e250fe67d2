"""Heads that turn a pooled cell into scores of classes, and the network with one on top."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aidocell.embedding import pool
from aidocell.model import AidoCell
from aidocell.model.attention import without_autocast

__all__ = ["WIDTH", "CellClassifier", "new_head"]

WIDTH = 256  # of the hidden layer of an `mlp` head


class RunningNorm(nn.BatchNorm1d):
    """Batch norm for which a batch of one cell, that has no variance, takes the running figures."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return super().forward(x)
        return functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class CellClassifier(nn.Module):
    """Backbone, pooling over gene positions, head; in float32 from the pooling on.

    Parameters
    ----------
    backbone
        Its weights are used in place.
    head
        From :func:`new_head`.
    pooling
        ``max`` or ``mean`` over all gene positions.
    """

    def __init__(self, backbone: AidoCell, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.backbone, self.head, self.pooling = backbone, head, pooling

    def forward(self, values: Tensor) -> Tensor:  # (cells, genes + 2) -> (cells, classes)
        return self.classify(self.pooled(values))

    def pooled(self, values: Tensor) -> Tensor:
        """Shape ``(cells, hidden)``."""
        hidden = self.backbone(values)
        with without_autocast(hidden.device):
            everything = torch.ones(0, dtype=torch.bool, device=hidden.device)
            return pool(hidden.float(), self.pooling, measured=everything, expressed=everything)

    def classify(self, pooled: Tensor) -> Tensor:
        """Scores before the softmax, shape ``(cells, classes)``."""
        with without_autocast(pooled.device):
            return self.head(pooled)


def new_head(kind: str, hidden: int, classes: int, *, seed: int) -> nn.Module:
    """A head with PyTorch's usual random weights, which depend on `seed` alone.

    Parameters
    ----------
    kind
        ``linear``, or ``mlp``: batch norm without affine, :data:`WIDTH` wide, ReLU, classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "linear":
            return nn.Linear(hidden, classes)
        return nn.Sequential(
            RunningNorm(hidden, affine=False),
            nn.Linear(hidden, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, classes),
        )

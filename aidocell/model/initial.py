"""A network with random weights, from which training starts."""

from __future__ import annotations

import torch
from torch import nn

from aidocell.model.config import ModelConfig
from aidocell.model.network import AidoCell

__all__ = ["random_network"]


def random_network(config: ModelConfig, *, seed: int, head: bool = True) -> AidoCell:
    """A network with normal weights of scale ``1 / sqrt(width)``, zero biases and plain layer norms.

    The width is the number of inputs of a linear map, and of a table the length of its rows.
    """
    generator = torch.Generator().manual_seed(seed)
    model = AidoCell(config, head=head)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
    return model

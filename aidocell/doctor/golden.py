"""A small network, some cells, and the embeddings that it has to give on every device.

``golden.npz`` holds the counts and, computed in float64 by the plain formula of attention, their
embeddings. The weights are not in it; they come from NumPy's ``RandomState``, whose numbers never
change. After a change of the network here, write it anew::

    python -c "from aidocell.doctor.golden import write_golden; write_golden()"
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aidocell.embedding import pool
from aidocell.files import atomic
from aidocell.model import AidoCell, ModelConfig, preprocess

__all__ = ["GOLDEN", "compute_golden", "small_network", "write_golden"]

GOLDEN = Path(__file__).with_name("golden.npz")
_DEPTHS = np.array([0.5, 5.0, 500.0])  # of cells that differ much


def small_network() -> AidoCell:
    """Two layers of 64 over 1,000 genes, with weights that are the same everywhere."""
    config = ModelConfig(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=2,
        intermediate_size=160,
        max_position_embeddings=1000,
        bin_num=100,
        bin_alpha=1.0,
        layer_norm_eps=1e-5,
    )
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw before they are given weights
        network = AidoCell(config, head=False)
    for name, weight in network.named_parameters():
        if weight.ndim == 2:
            numbers = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(weight.shape)
            with torch.no_grad():
                weight.copy_(torch.from_numpy(numbers * weight.shape[1] ** -0.5))
        elif name.endswith("bias"):
            nn.init.zeros_(weight)
    return network.eval()


@torch.inference_mode()
def compute_golden() -> dict[str, np.ndarray]:
    """``counts`` (cells, genes) and their mean-pooled ``embeddings`` (cells, hidden), by float64."""
    network = small_network().double()
    network.attention = "reference"
    random = np.random.RandomState(0)
    shape = (len(_DEPTHS), network.config.n_genes)
    rates = random.gamma(0.1, _DEPTHS[:, np.newaxis], shape)
    counts = random.poisson(rates).astype(np.uint16)
    values = torch.from_numpy(preprocess(counts)).double()
    every = torch.ones(counts.shape, dtype=torch.bool)
    pooled = pool(network(values), "mean", measured=every[0], expressed=every)
    return {"counts": counts, "embeddings": pooled.numpy()}


def write_golden() -> None:
    """Replace the stored counts and embeddings."""
    with atomic(GOLDEN) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **compute_golden())

"""AIDO.Cell: a bidirectional transformer encoder over all genes of a cell.

From top to bottom: the value of a gene becomes a vector, position embeddings are added, the
encoder's layers attend over every position, and a head predicts expression. Modules are named so that
``state_dict()`` has the names of the official checkpoints. Shapes: a cell has ``genes + 2`` positions,
the last two being its depth tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from aidocell.errors import InputError
from aidocell.model.attention import BACKENDS, resolve_attention, without_autocast
from aidocell.model.config import ModelConfig

__all__ = ["AidoCell"]

MASKED, PADDED = -1.0, -2.0


class Table(nn.Module):
    """Rows that are looked up; left uninitialised, since a checkpoint or `random_network` fills it."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width))


class GeneEmbedding(nn.Module):
    """A scalar becomes a mixture of the rows of a table, one row a soft bin of expression."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bins, hidden = config.bin_num, config.hidden_size
        self.alpha = config.bin_alpha
        self.linear1 = nn.Linear(1, bins)
        self.linear2 = nn.Linear(bins, bins)
        self.lookup_table = Table(bins, hidden)
        self.mask_embedding = Table(1, hidden)
        self.pad_embedding = Table(1, hidden)

    def forward(self, values: Tensor) -> Tensor:  # (cells, positions) -> (cells, positions, hidden)
        # Half precision would round the values to two or three digits before they are binned.
        with without_autocast(values.device):
            direct = functional.leaky_relu(self.linear1(values[..., None]), 0.1)
            bins = torch.softmax(self.alpha * direct + self.linear2(direct), dim=-1)
            embedded = bins @ self.lookup_table.weight
            embedded = torch.where(
                (values == MASKED)[..., None], self.mask_embedding.weight, embedded
            )
            return torch.where((values == PADDED)[..., None], self.pad_embedding.weight, embedded)


class Attention(nn.Module):
    """Layer norm, then multi-head attention over all positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_attention_heads
        self.ln = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.self = nn.ModuleDict(
            {name: nn.Linear(hidden, hidden, bias=False) for name in ("query", "key", "value")}
        )
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden, hidden, bias=False)})

    def forward(self, x: Tensor, backend: str) -> Tensor:  # (cells, positions, hidden), both ways
        x = self.ln(x)
        q, k, v = (self.by_head(self.self[name](x)) for name in ("query", "key", "value"))
        mixed = BACKENDS[backend](q, k, v)
        return self.output["dense"](mixed.transpose(1, 2).flatten(2))

    def by_head(self, x: Tensor) -> Tensor:
        """``(cells, positions, hidden)`` to ``(cells, heads, positions, width)``, each head in one piece."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()


class GatedMLP(nn.Module):
    """SwiGLU: a gate and a value, multiplied, then back to the hidden size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, wide = config.hidden_size, config.intermediate_size
        self.up_proj = nn.Linear(hidden, wide, bias=False)
        self.gate_proj = nn.Linear(hidden, wide, bias=False)
        self.down_proj = nn.Linear(wide, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and MLP, each added to what came in (pre-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = GatedMLP(config)

    def forward(self, x: Tensor, backend: str) -> Tensor:
        x = x + self.attention(x, backend)
        return x + self.mlp(self.ln(x))


class Encoder(nn.Module):
    """The layers, and the layer norm after the last."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, backend: str, recompute: bool = False) -> Tensor:
        for layer in self.layer:
            x = recomputed(layer, x, backend) if recompute else layer(x, backend)
        return self.ln(x)


def recomputed(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """`function` of `inputs`; the backward pass computes anew what it needs of it."""
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)


class Bert(nn.Module):
    """Values to final hidden states; all of the model but the head.

    Attributes
    ----------
    recompute
        Whether a backward pass keeps only what goes in and out of each layer; set it to train
        in less memory and more time.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.recompute = False
        self.gene_embedding = GeneEmbedding(config)
        self.position_embedding = Table(config.n_positions, config.hidden_size)
        self.encoder = Encoder(config)

    def embed(self, values: Tensor, positions: Tensor | None = None) -> Tensor:
        """Gene embeddings plus position embeddings, without a layer norm.

        Parameters
        ----------
        values
            Shape ``(cells, positions)``.
        positions
            Rows of the position table, the same shape; ``None`` means all positions in order.
            Training on samples of genes gives them; a cell's embedding never does.
        """
        rows = self.position_embedding.weight
        return self.gene_embedding(values) + (rows if positions is None else rows[positions])

    def forward(self, values: Tensor, positions: Tensor | None, backend: str) -> Tensor:
        recompute = self.recompute and torch.is_grad_enabled()
        embed = partial(recomputed, self.embed) if recompute else self.embed
        return self.encoder(embed(values, positions), backend, recompute)


class ExpressionHead(nn.Module):
    """Hidden states to one predicted value a position."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.transform = nn.ModuleDict({"dense": nn.Linear(hidden, hidden), "LayerNorm": norm})
        self.decoder = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:  # (cells, positions, hidden) -> (cells, positions)
        x = self.transform["LayerNorm"](functional.gelu(self.transform["dense"](x)))
        return self.decoder(x)[..., 0]


class AidoCell(nn.Module):
    """The model: `model(values)` gives hidden states, `predict_expression` gives expression.

    Parameters
    ----------
    config
        The checkpoint's shape.
    head
        Whether there is a masked-expression head; a base checkpoint has none.
    attention
        ``sdpa`` (also ``auto``), ``reference`` or ``flash``; equal up to rounding.

    Attributes
    ----------
    genes, checkpoint
        Vocabulary and :class:`CheckpointInfo` of a loaded model; ``None`` on a bare network.
    """

    def __init__(self, config: ModelConfig, *, head: bool = True, attention: str = "auto") -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        self.cls = nn.ModuleDict({"predictions": ExpressionHead(config)}) if head else None
        self.genes = None
        self.checkpoint = None
        self.attention = attention

    @property
    def attention(self) -> str:
        """The attention backend in use; set it to another at any time."""
        return self._attention

    @attention.setter
    def attention(self, name: str) -> None:
        self._attention = resolve_attention(name, self.device)

    @property
    def device(self) -> torch.device:
        return self.bert.position_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.bert.position_embedding.weight.dtype

    def forward(self, values: Tensor | np.ndarray) -> Tensor:
        """Final hidden states.

        Parameters
        ----------
        values
            Shape ``(cells, genes + 2)``, as `preprocess` gives it; −1 marks a masked and −2 a padded
            position. It is moved to the weights' device and precision.

        Returns
        -------
        hidden
            Shape ``(cells, genes + 2, hidden)``.

        Raises
        ------
        InputError
            ``E_MATRIX_SHAPE``: another number of positions than the checkpoint has.
        """
        return self.bert(self._as_input(values), None, self.attention)

    def hidden_states(self, values: Tensor | np.ndarray) -> Iterator[Tensor]:
        """The embedded input, then the output of each layer (before the final layer norm)."""
        x = self.bert.embed(self._as_input(values))
        yield x
        for layer in self.bert.encoder.layer:
            x = layer(x, self.attention)
            yield x

    def predict_expression(self, values: Tensor | np.ndarray) -> Tensor:
        """Predicted values, shape ``(cells, genes + 2)``, in the units of the input.

        Raises
        ------
        InputError
            ``E_MODEL_CONFIG``: the checkpoint has no head. ``E_MATRIX_SHAPE`` as for the model itself.
        """
        return self.expression_head(self(values))

    @property
    def expression_head(self) -> ExpressionHead:
        if self.cls is None:
            raise InputError(
                "E_MODEL_CONFIG",
                "this checkpoint has no masked-expression head (no tensors named cls.predictions.…)",
                fix="use one that was saved with its head to predict expression",
            )
        return self.cls["predictions"]

    def _as_input(self, values: Tensor | np.ndarray) -> Tensor:
        tensor = torch.as_tensor(values)
        if tensor.ndim != 2 or tensor.shape[1] != self.config.n_positions:
            raise InputError(
                "E_MATRIX_SHAPE",
                f"values have the shape {tuple(tensor.shape)}, not cells × {self.config.n_positions}",
                fix="pass what `aidocell.preprocess` gives for counts over the model's genes",
            )
        return tensor.to(self.device, self.dtype)

"""The memory that a step of fine-tuning takes, worked out on paper.

A step holds the weights, of what is trained also gradients and AdamW's two moments, and the
activations that the backward pass needs. Attention never holds positions × positions: the fused
kernels keep a number a query and head. In float32 a layer keeps for each position, with hidden
size H, intermediate size I and heads A,

    8 H + 4 I + A + 4      norm in, norm out, q, k, v, mixed; norm in, norm out, gate, silu, up, product

numbers, and in bfloat16 the two norm inputs and the statistics stay wide, while each product
keeps its own copy of the input. The gene embedding keeps 3 × bins numbers a position in float32,
whatever the precision. With activations computed anew only what goes into each layer is kept, and
one layer's activations at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aidocell.model import ModelConfig
    from aidocell.train.options import FinetuneOptions

__all__ = ["Memory", "peak_memory"]

_WIDE, _HALF = 4, 2  # bytes of a number in float32 and in bfloat16


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a step on one device.

    Attributes
    ----------
    weights
        And, in bfloat16, their copies for the products.
    gradients, moments
        Of the weights that are trained.
    activations
        Kept for the backward pass.
    working
        What an operation needs while it runs, and gradients of activations on their way.
    """

    weights: int
    gradients: int
    moments: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.activations + self.working


def peak_memory(config: ModelConfig, options: FinetuneOptions, *, precision: str) -> Memory:
    """Bytes of a step with ``options.batch_size`` cells at once on each device.

    The head and PyTorch's own needs (kernels, fragments of its cache: allow a fifth more, and
    1 GiB on a GPU) are left out. Mode ``lora`` is counted as if all activations of its layers were
    kept, which is more than it takes. DDP holds the gradients once more.

    Parameters
    ----------
    precision
        ``float32`` or ``bfloat16``.
    """
    trained = _trained(config, options)
    half = precision == "bfloat16"
    per_position = _Activations(config, half=half)
    positions = options.batch_size * config.n_positions
    kept, working = per_position.peak(options)
    copies = _HALF * _all(config) if half else 0
    return Memory(
        weights=_WIDE * _all(config) + copies,
        gradients=_WIDE * trained * (2 if options.devices > 1 else 1),
        moments=2 * _WIDE * trained,
        activations=positions * kept,
        working=positions * working,
    )


class _Activations:
    """Bytes a position."""

    def __init__(self, config: ModelConfig, *, half: bool) -> None:
        hidden, wide = config.hidden_size, config.intermediate_size
        heads, bins = config.num_attention_heads, config.bin_num
        self.layers = config.num_hidden_layers
        statistics = _WIDE * (heads + 4)
        if half:
            self.layer = 2 * _WIDE * hidden + _HALF * (9 * hidden + 4 * wide) + statistics
        else:
            self.layer = _WIDE * (8 * hidden + 4 * wide) + statistics
        self.embedding = _WIDE * 3 * bins
        self.state = _WIDE * hidden
        # gradients of the product and its two factors, less the product itself, and of the states
        self.layer_working = (_HALF if half else _WIDE) * 2 * wide + 2 * self.state
        self.embedding_working = _WIDE * 3 * bins + self.state

    def peak(self, options: FinetuneOptions) -> tuple[int, int]:
        """Kept and working bytes where their sum is largest."""
        pooled = (2 if options.pooling == "max" else 1) * self.state  # last norm in; hidden states
        if options.mode == "frozen":
            return 0, max(self.layer, self.embedding + self.embedding_working)
        whole = options.mode in ("full", "lora")
        layers = self.layers if whole else options.last_layers
        embedding = self.embedding if options.mode == "full" else 0
        if not options.activation_checkpointing:
            return embedding + layers * self.layer + pooled, self.layer_working
        # the pooling's share is gone when the first layer is computed anew
        in_layers = (layers * self.state, self.layer + self.layer_working)
        in_embedding = (self.state, embedding + self.embedding_working)
        return max(in_layers, in_embedding, key=sum)


def _all(config: ModelConfig) -> int:
    """Weights of the backbone and its masked-expression head."""
    hidden, bins = config.hidden_size, config.bin_num
    embedding = 2 * bins + bins * (bins + 1) + (bins + 2) * hidden
    positions = config.n_positions * hidden
    layers = config.num_hidden_layers * _layer(config) + 2 * hidden
    head = hidden * hidden + 4 * hidden + 1
    return embedding + positions + layers + head


def _layer(config: ModelConfig) -> int:
    hidden = config.hidden_size
    return 4 * hidden * hidden + 3 * hidden * config.intermediate_size + 4 * hidden


def _trained(config: ModelConfig, options: FinetuneOptions) -> int:
    hidden = config.hidden_size
    head = hidden * hidden + 4 * hidden + 1
    match options.mode:
        case "full":
            return _all(config) - head - 2 * hidden  # embeddings of masked and padded positions
        case "last":
            return options.last_layers * _layer(config) + 2 * hidden
        case "lora":
            return config.num_hidden_layers * 3 * 2 * hidden * options.lora_rank
    return 0

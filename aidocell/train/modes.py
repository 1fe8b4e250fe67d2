"""Which weights a mode of fine-tuning trains."""

from __future__ import annotations

from torch import nn

from aidocell.errors import InputError
from aidocell.model import AidoCell
from aidocell.train.heads import CellClassifier, new_head
from aidocell.train.lora import add_lora
from aidocell.train.options import FinetuneOptions

__all__ = ["prepare"]


def prepare(
    backbone: AidoCell, classes: int, options: FinetuneOptions, *, seed: int
) -> CellClassifier:
    """Put a new head on `backbone`, in place, and mark the weights that `options` train.

    What a cell's embedding does not depend on is never trained: the masked-expression head and
    the embeddings of masked and padded positions.
    """
    if options.mode == "lora":
        add_lora(backbone, rank=options.lora_rank, alpha=options.lora_alpha, seed=seed)
    else:
        trained = {id(weight) for weight in _trained_of(backbone, options)}
        for weight in backbone.parameters():
            weight.requires_grad_(id(weight) in trained)
    backbone.bert.recompute = options.activation_checkpointing
    head = new_head(options.head, backbone.config.hidden_size, classes, seed=seed)
    return CellClassifier(backbone, head, options.pooling)


def _trained_of(backbone: AidoCell, options: FinetuneOptions) -> list[nn.Parameter]:
    encoder = backbone.bert.encoder
    if options.mode == "frozen":
        return []
    if options.mode == "full":
        unused = ("mask_embedding", "pad_embedding")
        named = backbone.bert.named_parameters()
        return [w for name, w in named if not any(part in name for part in unused)]
    if options.last_layers > len(encoder.layer):
        raise InputError(
            "E_USAGE",
            f"{options.last_layers} last layers were asked for, and the model has {len(encoder.layer)}",
            fix="give fewer, or train all of it by mode 'full'",
        )
    last = [w for layer in encoder.layer[-options.last_layers :] for w in layer.parameters()]
    return [*last, *encoder.ln.parameters()]

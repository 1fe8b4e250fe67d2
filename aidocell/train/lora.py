"""Low-rank additions (LoRA) to queries, keys and values, through the package peft."""

from __future__ import annotations

import torch

from aidocell.errors import InputError
from aidocell.model import AidoCell

__all__ = ["add_lora", "merge_lora"]

_TARGETS = ["query", "key", "value"]


def add_lora(backbone: AidoCell, *, rank: int, alpha: float, seed: int) -> None:
    """Add to `backbone`, in place, and train nothing else of it.

    One of the two factors is zero at first, so the network then equals the one without, bit by bit.

    Raises
    ------
    InputError
        ``E_USAGE``: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            "E_USAGE",
            "mode 'lora' needs the package peft, which is not installed",
            fix="install it with `pip install aidocell[train]`",
        ) from error
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=_TARGETS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, backbone)
    for name, weight in backbone.named_parameters():
        weight.requires_grad_("lora_" in name)


def merge_lora(backbone: AidoCell) -> None:
    """Add the products of the factors to the weights they stand beside, in place.

    What is left has the official form again; it differs from the network before in rounding.
    """
    for layer in backbone.bert.encoder.layer:
        for name in _TARGETS:
            adapted = layer.attention.self[name]
            adapted.merge()
            layer.attention.self[name] = adapted.get_base_layer()

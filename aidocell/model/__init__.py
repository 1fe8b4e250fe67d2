"""The AIDO.Cell network, its input and its checkpoints."""

from aidocell.model.checkpoint import (
    CheckpointInfo,
    checkpoint_info,
    load_model,
    save_checkpoint,
)
from aidocell.model.config import ModelConfig
from aidocell.model.initial import random_network
from aidocell.model.network import AidoCell
from aidocell.model.preprocess import preprocess

__all__ = [
    "AidoCell",
    "CheckpointInfo",
    "ModelConfig",
    "checkpoint_info",
    "load_model",
    "preprocess",
    "random_network",
    "save_checkpoint",
]

"""How a network is trained; plain values that need no torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from aidocell.errors import InputError

__all__ = ["HEADS", "MODES", "POOLINGS", "FinetuneOptions", "Network"]

MODES = ("full", "last", "lora", "frozen")
HEADS = ("linear", "mlp")
POOLINGS = ("max", "mean")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """How a checkpoint is fine-tuned; the defaults are the framework's example recipe.

    That recipe is the example configuration that the official framework ships for its two
    classification data sets. It is not known to be what the published table was made with. It
    says nothing of clipping, which is ours, nor of batches at the end of an epoch: here all steps
    of an epoch have the same number of cells, give or take one.

    Attributes
    ----------
    mode
        What is trained besides the head: ``full``, the whole backbone; ``last``, its last layers
        and the layer norm after them; ``lora``, low-rank additions to queries, keys and values;
        ``frozen``, nothing, so that every cell is embedded once.
    last_layers
        Layers that ``last`` trains.
    lora_rank, lora_alpha
        Rank of the additions, and their scale times the rank.
    head
        ``linear``, or ``mlp``: batch norm without affine, 256 wide, ReLU, classes.
    pooling
        ``max`` or ``mean`` over all gene positions, the depth tokens left out.
    epochs, batch_size, accumulate
        Cells that pass a device at once, and batches of each device that make one step.
    rate, warmup_share
        Peak learning rate, and the share of steps in which it rises; then a cosine to zero.
    clip
        Largest norm of a step's gradient.
    class_weights
        Whether each class counts the same in the loss, however few its cells.
    patience
        Epochs without a better validation macro-F1 after which training ends; None trains all
        epochs. The best epoch's weights are kept in either case.
    validation_share
        Share of the cells set apart to judge epochs where no others are given, by class, and by
        donor where groups are given; 0 keeps the last epoch.
    activation_checkpointing
        Compute activations anew in the backward pass: less memory, a third more time.
    device, precision, attention, devices
        As of :func:`aidocell.train.fabric.new_fabric` and :func:`aidocell.load_model`.
    """

    mode: str = "full"
    last_layers: int = 1
    lora_rank: int = 8
    lora_alpha: float = 16.0
    head: str = "linear"
    pooling: str = "max"
    epochs: int = 10
    batch_size: int = 16
    accumulate: int = 1
    rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_share: float = 0.01
    clip: float = 1.0
    class_weights: bool = False
    patience: int | None = None
    validation_share: float = 0.1
    activation_checkpointing: bool = False
    device: str = "auto"
    precision: str = "auto"
    attention: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("mode", MODES), ("head", HEADS), ("pooling", POOLINGS)):
            _require_one_of(name, getattr(self, name), allowed)
        for name in ("last_layers", "lora_rank", "epochs", "batch_size", "accumulate", "devices"):
            _require_range(name, getattr(self, name), 1, 10**6)
        for name in ("rate", "clip", "lora_alpha"):
            _require_range(name, getattr(self, name), 1e-12, 1e6)
        for name in ("weight_decay", "warmup_share"):
            _require_range(name, getattr(self, name), 0, 1)
        for beta in self.betas:
            _require_range("betas", beta, 0, 0.999999)
        _require_range("validation_share", self.validation_share, 0, 0.5)
        if self.patience is not None:
            _require_range("patience", self.patience, 1, 10**6)
        if self.mode == "frozen" and self.devices > 1:
            raise InputError(
                "E_USAGE", "mode 'frozen' runs on one device", fix="leave --devices out"
            )


@dataclass(frozen=True, kw_only=True)
class Network:
    """Which checkpoint, and how it is fine-tuned.

    Attributes
    ----------
    model, revision, accept_license
        As of :func:`aidocell.load_model`.
    options
        How.
    """

    model: str
    revision: str | None = None
    accept_license: bool = False
    options: FinetuneOptions = field(default_factory=FinetuneOptions)


def _require_one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise InputError(
            "E_USAGE", f"unknown {name} '{value}'", fix=f"give one of {', '.join(allowed)}"
        )


def _require_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(
            "E_USAGE", f"{name} is {value}", fix=f"give a number from {low:g} to {high:g}"
        )

"""How far a fine-tuning has come, and where that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from aidocell.train.saving import load_state, save_state

if TYPE_CHECKING:
    from aidocell.train.options import FinetuneOptions

__all__ = ["SAVE_SECONDS", "Course", "Saving", "changing"]

SAVE_SECONDS = 600.0  # of training that a kill may cost


@dataclass
class Course:
    """How far a training has come.

    Attributes
    ----------
    epoch, step
        The next ones, from 0.
    losses, weight
        Sums over the cells of the epoch so far: of weighted losses, and of weights.
    history
        One row an epoch.
    best
        Row of the best epoch, and the weights after it by name.
    weights, optimiser, scheduler
        After the last step; filled when the course is saved or ends.
    """

    epoch: int = 0
    step: int = 0
    losses: float = 0.0
    weight: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)

    def is_over(self, options: FinetuneOptions) -> bool:
        """Whether all epochs are done, or patience is."""
        if self.epoch >= options.epochs:
            return True
        if options.patience is None or self.best is None or self.step:
            return False
        return self.epoch - self.best["row"]["epoch"] >= options.patience


@dataclass(frozen=True)
class Saving:
    """Where the state is kept, whose it is, and after how many seconds it is saved within epochs."""

    path: Path
    key: str
    seconds: float = SAVE_SECONDS

    def save(self, course: Course) -> None:
        """Write the state, whole or not at all."""
        parts = {part.name: getattr(course, part.name) for part in fields(course)}
        save_state(self.path, key=self.key, **parts)

    def load(self) -> Course:
        """Read the state; errors as of :func:`aidocell.train.saving.load_state`."""
        return Course(**load_state(self.path, key=self.key))


def changing(module: nn.Module) -> dict[str, Tensor]:
    """The weights that are trained and the buffers, by name: what a state has to hold."""
    trained = {name: w for name, w in module.named_parameters() if w.requires_grad}
    return {**trained, **dict(module.named_buffers())}

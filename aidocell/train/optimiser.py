"""AdamW and its learning rate over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aidocell.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import LambdaLR

__all__ = ["Schedule", "new_optimiser", "require_finite"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up to the peak, then a cosine down to the floor.

    Attributes
    ----------
    peak_rate
        Learning rate at the end of the warm-up.
    warmup_share
        Share of `steps` in which the rate rises; rounded up to whole steps.
    floor_share
        Share of the peak that is left at the last step.
    steps
        Optimiser steps in all.
    """

    peak_rate: float
    warmup_share: float
    floor_share: float
    steps: int

    @property
    def warmup(self) -> int:
        """Steps in which the rate rises."""
        return math.ceil(self.warmup_share * self.steps)

    def share(self, step: int) -> float:
        """Share of the peak rate that step number `step`, from 0, is made with."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.floor_share + (1 - self.floor_share) * (1 + math.cos(math.pi * done)) / 2

    def rate(self, step: int) -> float:
        """Learning rate that step number `step`, from 0, is made with."""
        return self.peak_rate * self.share(step)


def new_optimiser(
    model: nn.Module,
    *,
    schedule: Schedule,
    betas: tuple[float, float],
    weight_decay: float,
    rates: Mapping[str, float] | None = None,
) -> tuple[AdamW, LambdaLR]:
    """AdamW over the weights of `model` that are trained, and what sets its rate.

    The scheduler's ``step()`` follows each step of the optimiser. Weight decay is on all weights,
    biases and layer norms included: the published recipes name none that are exempt.

    Parameters
    ----------
    rates
        Peak rates of single weights, by their names in `model`; all others have the schedule's.
    """
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import LambdaLR

    rates = rates or {}
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    groups = [{"params": [w for name, w in trained.items() if name not in rates]}]
    groups += [{"params": [trained[name]], "lr": rate} for name, rate in rates.items()]
    optimiser = AdamW(groups, lr=schedule.peak_rate, betas=betas, weight_decay=weight_decay)
    return optimiser, LambdaLR(optimiser, schedule.share)


def require_finite(norm: Tensor | None) -> None:
    """Refuse a step by the norm of its gradient: ``E_NOT_FINITE``."""
    if norm is not None and not norm.isfinite():
        raise InputError(
            "E_NOT_FINITE",
            "the gradient of a step is not finite: training has diverged",
            fix="give a lower --learning-rate, and --precision float32 if it was bfloat16",
        )

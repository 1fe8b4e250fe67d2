"""The training loop of pre-training: steps, losses on cells set apart, and states to go on from.

All that is drawn is a function of seed, epoch and cell, and the place in the stream is one of the
step. So a training that goes on from any saved step makes the same steps as one that was never
ended, bit by bit on a CPU with the same number of threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aidocell.model import AidoCell
from aidocell.progress import progress
from aidocell.train.course import changing
from aidocell.train.material import Material
from aidocell.train.objective import Draw, Predictor, draw, squared_error
from aidocell.train.optimiser import Schedule, new_optimiser, require_finite
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.saving import load_state, save_state

if TYPE_CHECKING:
    from lightning.fabric import Fabric

__all__ = ["Stand", "train"]

log = logging.getLogger(__name__)

_TRAINING, _VALIDATION = 0, 1  # so that no draw of one is a draw of the other
_POSITIONS = "network.bert.position_embedding.weight"


@dataclass
class Stand:
    """How far a training has come.

    Attributes
    ----------
    step
        The next one, from 0.
    losses, masked
        Since the last row of `history`: sum of squared errors, and number of masked genes.
    history
        One row a validation.
    weights, optimiser, scheduler
        After the last step; filled when the stand is saved.
    """

    step: int = 0
    losses: float = 0.0
    masked: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path, key: str) -> None:
        save_state(path, key=key, **{part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def load(cls, path: Path, key: str) -> Stand:
        """Errors as of :func:`aidocell.train.saving.load_state`."""
        return cls(**load_state(path, key=key))


def train(
    fabric: Fabric,
    network: AidoCell,
    material: Material,
    options: PretrainOptions,
    seed: int,
    state: Path,
    key: str,
) -> Stand:
    """Train `network` in place, from the state at a path if there is one; it is saved there.

    Parameters
    ----------
    key
        Of all that shapes the training; a state with another is refused.
    """
    return _Training(fabric, network, material, options, seed, state, key).run()


class _Training:
    def __init__(
        self,
        fabric: Fabric,
        network: AidoCell,
        material: Material,
        options: PretrainOptions,
        seed: int,
        state: Path,
        key: str,
    ) -> None:
        self.fabric, self.material, self.options, self.seed = fabric, material, options, seed
        self.state, self.key = state, key
        self.module = Predictor(network)
        self.stream = material.stream(options, seed)
        self.saved_at = time.monotonic()

    def run(self) -> Stand:
        options = self.options
        schedule = Schedule(
            peak_rate=options.rate,
            warmup_share=options.warmup_share,
            floor_share=options.floor_share,
            steps=options.steps,
        )
        self.optimiser, self.scheduler = new_optimiser(
            self.module,
            schedule=schedule,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
            rates={_POSITIONS: options.position_rate} if options.position_rate else None,
        )
        self.wrapped, self.stepper = self.fabric.setup(self.module, self.optimiser)
        self.stand = self._begun()
        with _deterministic(self.fabric.device), ThreadPoolExecutor(1) as pool:
            self._steps(pool)
        return self.stand

    def _begun(self) -> Stand:
        if not self.state.exists():
            return Stand()
        stand = Stand.load(self.state, self.key)
        with torch.no_grad():
            for name, tensor in changing(self.module).items():
                tensor.copy_(stand.weights[name])
        self.optimiser.load_state_dict(stand.optimiser)
        self.scheduler.load_state_dict(stand.scheduler)
        return stand

    def _steps(self, pool: ThreadPoolExecutor) -> None:
        """All that are left; while one is made the next one's cells are drawn."""
        stand, steps = self.stand, self.options.steps
        if not stand.history:
            self._note(None)
        with self._progress() as advance:
            advance(stand.step, saved=True)
            coming = pool.submit(self._drawn, stand.step)
            while stand.step < steps:
                drawn, coming = self._next(coming, pool)
                loss, masked = self._step(drawn)
                stand.losses, stand.masked = stand.losses + loss, stand.masked + masked
                stand.step += 1
                advance(1)
                if stand.step % self.options.validate_every == 0 or stand.step == steps:
                    self._note(self.rate)
                if self._is_due():
                    self._save()

    def _next(self, coming: Future[Draw], pool: ThreadPoolExecutor) -> tuple[Draw, Future[Draw]]:
        drawn = coming.result()
        return drawn, pool.submit(self._drawn, self.stand.step + 1)

    def _progress(self) -> Any:
        if not self.fabric.is_global_zero:
            return nullcontext(lambda done, saved=False: None)
        return progress("Pre-training", self.options.steps, unit="steps")

    def _drawn(self, step: int) -> Draw:
        """What this device does in a step: its share of the step's cells."""
        batch = self.stream.batch(*self.options.share(step, self.fabric.global_rank))
        keys = [
            (_TRAINING, self.seed, int(epoch), int(cell))
            for epoch, cell in zip(batch.epochs, batch.cells, strict=True)
        ]
        measured = self.material.measured(batch.cells)
        return draw(batch.counts, measured, keys, self.options, self.material.genes)

    def _step(self, drawn: Draw) -> tuple[float, int]:
        """One step; the mean over its masked genes does not depend on how its cells are shared."""
        fabric, options = self.fabric, self.options
        self.module.train()
        masked = self._summed(drawn.n_masked)
        self.stepper.zero_grad()
        losses = torch.zeros((), device=fabric.device)
        for place in range(options.accumulate):
            rows = slice(place * options.batch_size, (place + 1) * options.batch_size)
            samples = drawn[rows].samples(fabric.device)
            with fabric.no_backward_sync(self.wrapped, enabled=place < options.accumulate - 1):
                error = squared_error(self.wrapped(samples.values, samples.positions), samples)
                # processes' gradients are averaged
                fabric.backward(error * (fabric.world_size / max(masked, 1)))
            losses += error.detach()
        norm = fabric.clip_gradients(
            self.wrapped, self.stepper, max_norm=options.clip, error_if_nonfinite=False
        )
        require_finite(norm)
        self.rate = self.scheduler.get_last_lr()[0]
        self.stepper.step()
        self.scheduler.step()
        return self._summed(float(losses)), int(masked)

    def _summed(self, value: float) -> float:
        """Over all processes; exact for whole numbers."""
        if self.fabric.world_size == 1:
            return value
        own = torch.tensor(value, dtype=torch.float64, device=self.fabric.device)
        return float(self.fabric.all_reduce(own, reduce_op="sum"))

    def _note(self, rate: float | None) -> None:
        """Add a row to the history."""
        stand = self.stand
        row = {
            "step": stand.step,
            "epoch": stand.step * self.options.step_cells / len(self.stream),
            "train_loss": stand.losses / max(stand.masked, 1) if stand.step else None,
            "validation_loss": self._judged(),
            "learning_rate": rate,
        }
        stand.history.append(row)
        stand.losses, stand.masked = 0.0, 0
        log.info("step %d: loss on cells set apart %.4f", stand.step, row["validation_loss"])

    @torch.no_grad()
    def _judged(self) -> float:
        """Loss on the cells set apart, by draws that are the same at every step and for every seed."""
        fabric, size = self.fabric, self.options.batch_size
        self.module.eval()
        losses = masked = 0.0
        own = np.arange(len(self.material.held_out))[fabric.global_rank :: fabric.world_size]
        for start in range(0, len(own), size):
            rows = own[start : start + size]
            cells = self.material.held_out[rows]
            keys = [(_VALIDATION, 0, 0, int(cell)) for cell in cells]
            counts, measured = self.material.held_out_counts[rows], self.material.measured(cells)
            drawn = draw(counts, measured, keys, self.options, self.material.genes)
            samples = drawn.samples(fabric.device)
            with fabric.autocast():
                predicted = self.module(samples.values, samples.positions)
            losses += float(squared_error(predicted, samples))
            masked += drawn.n_masked
        return self._summed(losses) / max(self._summed(masked), 1)

    def _is_due(self) -> bool:
        options, step = self.options, self.stand.step
        late = time.monotonic() - self.saved_at >= 60 * options.save_minutes
        return late or step % options.save_every == 0 or step == options.steps

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        copies = changing(self.module).items()
        self.stand.weights = {name: tensor.detach().cpu() for name, tensor in copies}
        self.stand.optimiser = self.optimiser.state_dict()
        self.stand.scheduler = self.scheduler.state_dict()
        self.stand.save(self.state, self.key)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Sums in one order on a CPU, also where a row of the position table is drawn for many cells."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)

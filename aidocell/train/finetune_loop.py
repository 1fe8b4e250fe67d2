"""The training loop of fine-tuning: steps, judged epochs, and states to go on from.

Nothing in a step is drawn at random: the batches are a function of seed and epoch. So a training
that goes on from any saved step makes the same steps as one that was never ended, bit by bit on a
CPU with the same number of threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from aidocell.progress import progress
from aidocell.train.course import Course, Saving, changing
from aidocell.train.finetune_cells import Cells, balanced_weights, step_batches
from aidocell.train.optimiser import Schedule, new_optimiser, require_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from aidocell.train.options import FinetuneOptions

__all__ = ["Reader", "train"]

log = logging.getLogger(__name__)

Reader = Callable[[np.ndarray, torch.device], Tensor]


def train(
    fabric: Fabric,
    module: nn.Module,
    readers: tuple[Reader, Reader],
    cells: Cells,
    options: FinetuneOptions,
    seed: int,
    saving: Saving | None,
) -> Course:
    """Train `module` in place, and leave it with the weights of its best epoch.

    Parameters
    ----------
    module
        What a reader gives in, scores of classes out.
    readers
        Of training and of validation cells: rows to the module's input on a device.
    saving
        None keeps no states; a state that is there is gone on from.
    """
    return _Training(fabric, module, readers, cells, options, seed, saving).run()


class _Training:
    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        readers: tuple[Reader, Reader],
        cells: Cells,
        options: FinetuneOptions,
        seed: int,
        saving: Saving | None,
    ) -> None:
        self.fabric, self.module, self.readers = fabric, module, readers
        self.cells, self.options, self.seed, self.saving = cells, options, seed, saving
        classes = len(cells.classes)
        own = balanced_weights(cells.train.codes, classes)
        weights = own if options.class_weights else np.ones(classes)
        self.class_weights = torch.from_numpy(weights).float().to(fabric.device)
        self.saved_at = time.monotonic()

    def run(self) -> Course:
        options = self.options
        steps = len(self._batches(0))
        schedule = Schedule(
            peak_rate=options.rate,
            warmup_share=options.warmup_share,
            floor_share=0.0,
            steps=steps * options.epochs,
        )
        self.optimiser, self.scheduler = new_optimiser(
            self.module, schedule=schedule, betas=options.betas, weight_decay=options.weight_decay
        )
        self.wrapped, self.stepper = self.fabric.setup(self.module, self.optimiser)
        self.course = self._begun()
        with self._progress(steps) as self.advance:
            self.advance(self.course.epoch * steps + self.course.step, saved=True)
            while not self.course.is_over(options):
                self._epoch()
        self._restore(self.course.best["weights"])
        return self.course

    def _begun(self) -> Course:
        if self.saving is None or not self.saving.path.exists():
            return Course()
        course = self.saving.load()
        self._restore(course.weights)
        self.optimiser.load_state_dict(course.optimiser)
        self.scheduler.load_state_dict(course.scheduler)
        return course

    def _progress(self, steps: int) -> Any:
        if not self.fabric.is_global_zero:
            return nullcontext(lambda done, saved=False: None)
        return progress("Fine-tuning", steps * self.options.epochs, unit="steps")

    def _batches(self, epoch: int) -> list[list[np.ndarray]]:
        options = self.options
        return step_batches(
            len(self.cells.train),
            epoch=epoch,
            seed=self.seed,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            devices=self.fabric.world_size,
        )

    def _epoch(self) -> None:
        course, batches = self.course, self._batches(self.course.epoch)
        self.module.train()
        while course.step < len(batches):
            loss, weight = self._step(batches[course.step])
            course.losses, course.weight = course.losses + loss, course.weight + weight
            course.step += 1
            self.advance(1)
            if course.step < len(batches) and self._is_due():
                self._save()
        row = {
            "epoch": course.epoch + 1,
            "step": (course.epoch + 1) * len(batches),
            "train_loss": course.losses / course.weight,
            **self._judged(),
            "learning_rate": self.rate,
        }
        self._close_epoch(row)

    def _close_epoch(self, row: dict[str, Any]) -> None:
        course = self.course
        course.history.append(row)
        score, best = row["validation_macro_f1"], course.best
        if score is None or best is None or score > best["row"]["validation_macro_f1"]:
            course.best = {"row": row, "weights": self._copied()}
        course.epoch, course.step, course.losses, course.weight = course.epoch + 1, 0, 0.0, 0.0
        log.info("epoch %d: %s", row["epoch"], _in_words(row))
        self._save()

    def _step(self, batches: list[np.ndarray]) -> tuple[float, float]:
        """One step of the optimiser; the mean over its cells does not depend on how they are cut."""
        fabric, accumulate = self.fabric, self.options.accumulate
        together = np.concatenate(batches)
        weight = float(self._weights(together).sum())
        own = batches[fabric.global_rank * accumulate :][:accumulate]
        self.stepper.zero_grad()
        losses = torch.zeros((), device=fabric.device)
        for place, rows in enumerate(own):
            # every device takes part in each pass, if need be with a cell that counts nothing
            rows, share = (rows, 1.0) if len(rows) else (together[:1], 0.0)
            with fabric.no_backward_sync(self.wrapped, enabled=place < accumulate - 1):
                scores = self.wrapped(self.readers[0](rows, fabric.device))
                loss = share * self._loss(scores, rows, self.cells.train.codes) / weight
                fabric.backward(loss * fabric.world_size)
            losses += loss.detach()
        norm = fabric.clip_gradients(
            self.wrapped, self.stepper, max_norm=self.options.clip, error_if_nonfinite=False
        )
        require_finite(norm)
        self.rate = self.scheduler.get_last_lr()[0]
        self.stepper.step()
        self.scheduler.step()
        return float(fabric.all_reduce(losses, reduce_op="sum")) * weight, weight

    def _weights(self, rows: np.ndarray) -> Tensor:
        return self.class_weights[torch.from_numpy(self.cells.train.codes[rows])]

    def _loss(self, scores: Tensor, rows: np.ndarray, codes: np.ndarray) -> Tensor:
        """Sum over cells of their weighted losses."""
        target = torch.from_numpy(codes[rows]).to(scores.device)
        return functional.cross_entropy(
            scores.float(), target, weight=self.class_weights, reduction="sum"
        )

    @torch.no_grad()
    def _judged(self) -> dict[str, Any]:
        """Loss and macro-F1 on the validation cells, each device looking at its share of them."""
        part, fabric = self.cells.validation, self.fabric
        if not len(part):
            return {"validation_loss": None, "validation_macro_f1": None}
        self.module.eval()
        scores = torch.zeros(len(part), len(self.cells.classes), device=fabric.device)
        own = np.arange(len(part))[fabric.global_rank :: fabric.world_size]
        size = 1 if fabric.device.type == "cpu" else self.options.batch_size
        for start in range(0, len(own), size):
            rows = own[start : start + size]
            with fabric.autocast():
                scores[rows] = self.module(self.readers[1](rows, fabric.device)).float()
        scores = fabric.all_reduce(scores, reduce_op="sum").cpu()
        true, weights = part.codes, self.class_weights.cpu()
        losses = functional.cross_entropy(scores, torch.from_numpy(true), weight=weights)
        called = scores.argmax(1).numpy()
        macro = f1_score(true, called, average="macro", zero_division=0)
        return {"validation_loss": float(losses), "validation_macro_f1": float(macro)}

    def _is_due(self) -> bool:
        return self.saving is not None and time.monotonic() - self.saved_at >= self.saving.seconds

    def _save(self) -> None:
        if self.saving is None or not self.fabric.is_global_zero:
            return
        self.course.weights = self._copied()
        self.course.optimiser = self.optimiser.state_dict()
        self.course.scheduler = self.scheduler.state_dict()
        self.saving.save(self.course)
        self.saved_at = time.monotonic()

    def _copied(self) -> dict[str, Tensor]:
        copies = changing(self.module).items()
        return {name: tensor.detach().cpu().clone() for name, tensor in copies}

    @torch.no_grad()
    def _restore(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in changing(self.module).items():
            tensor.copy_(weights[name])


def _in_words(row: dict[str, Any]) -> str:
    judged = row["validation_macro_f1"]
    shown = "" if judged is None else f", validation macro-F1 {judged:.3f}"
    return f"loss {row['train_loss']:.4f}{shown}"

"""Pre-train a network on cells without labels: read-depth-aware masked expression."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from aidocell.embedding import Runtime, resolve_runtime
from aidocell.errors import InputError, MachineError
from aidocell.joblog import configure_logging
from aidocell.model import AidoCell, weights
from aidocell.provenance import REVISION, VERSION, run_key
from aidocell.train.course import changing
from aidocell.train.fabric import new_fabric
from aidocell.train.material import Material
from aidocell.train.pretrain_loop import Stand, train
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.processes import errors_left_at, launch
from aidocell.train.streaming import StoredCells

if TYPE_CHECKING:
    from lightning.fabric import Fabric

__all__ = ["STATE", "Pretrained", "pretrain"]

log = logging.getLogger(__name__)

STATE = "pretraining.state"


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained network.

    Attributes
    ----------
    network
        In evaluation mode.
    content
        Recipe, seed, cells, and where it began; what its card says.
    history
        One row a validation: ``step, epoch, train_loss, validation_loss, learning_rate``.
    """

    network: AidoCell
    content: dict[str, Any]
    history: pd.DataFrame


def pretrain(
    network: AidoCell,
    counts: Sequence[str | Path],
    *,
    options: PretrainOptions | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
) -> Pretrained:
    """Train on cells of any number of stores, read in random order as they are needed.

    Parameters
    ----------
    network
        Where training begins, with its masked-expression head; it is trained in place.
    counts
        ``counts.zarr.zip`` over the network's genes; their order changes nothing.
    options
        How.
    seed
        Of the order of the cells and of every draw.
    folder
        Where the state is saved, from which a training that was killed goes on; None keeps none.
    resume
        Go on from the state in `folder`, if there is one; otherwise one that is there is refused.

    Raises
    ------
    InputError
        ``E_USAGE``, ``E_MODEL_CONFIG``: a network without a head; ``E_NO_CELLS``,
        ``E_STORE_DAMAGED``; ``E_STORE_MISMATCH``: other genes, or a state of another training;
        ``E_FILE_DAMAGED``, ``E_NOT_FINITE``.
    MachineError
        ``E_GPU_MEMORY``.
    """
    options = options or PretrainOptions()
    runtime = resolve_runtime(
        device=options.device, precision=options.precision, attention=options.attention
    )
    network.expression_head  # noqa: B018 - refuses a network without one before any work
    stored = StoredCells.of(counts, genes_sha256=network.genes.sha256)
    material = Material.of(stored, options)
    content = _content(network, material, options, runtime, seed)
    key = run_key(**{name: part for name, part in content.items() if name != "version"})
    network.checkpoint = None  # what it was is the content's `base`
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as work:
        state = Path(work) / STATE
        _require_begun(state, key, resume=resume)
        task = _Task(
            material=material,
            options=options,
            seed=seed,
            state=state,
            key=key,
            runtime=runtime,
            level=logging.getLogger().getEffectiveLevel(),
        )
        stand = _trained(network, task)
    history = pd.DataFrame(stand.history)
    content |= {"key": key, "validation_loss": stand.history[-1]["validation_loss"]}
    return Pretrained(network.to("cpu").eval(), content, history)


def _content(
    network: AidoCell, material: Material, options: PretrainOptions, runtime: Runtime, seed: int
) -> dict[str, Any]:
    known = network.checkpoint
    if known is None:
        began = {"id": "random weights", "sha256": weights.digest(network.state_dict())}
    else:
        began = {"id": known.id, "sha256": known.sha256}
    return {
        "version": VERSION,
        "revision": REVISION["pretrain"],
        "base": began,
        "genes_sha256": network.genes.sha256,
        "recipe": options.shaping(),
        "resolved": asdict(runtime),
        "seed": seed,
        "counts_digests": list(material.stored.digests),
        "cells": len(material.stored) - len(material.stored.empty),
        "cells_set_apart": len(material.held_out),
    }


def _require_begun(state: Path, key: str, *, resume: bool) -> None:
    """Read a state in whole before any work, and refuse one that is not to be gone on from."""
    if not state.exists():
        return
    if not resume:
        raise InputError(
            "E_OUTPUT_EXISTS",
            f"{state.parent} holds an unfinished training",
            fix="give --resume to go on with it, or --overwrite to begin anew",
        )
    Stand.load(state, key)


class _Task(SimpleNamespace):
    """What `_launched` needs besides the network; Fabric looks into dataclasses, and refuses frozen ones."""


def _trained(network: AidoCell, task: _Task) -> Stand:
    """Train in place and give the stand."""
    runtime = task.runtime
    fabric = new_fabric(
        device=runtime.device, precision=runtime.precision, devices=task.options.devices
    )
    stand = launch(
        fabric,
        _launched,
        network,
        task,
        folder=task.state.parent,
        out_of_memory=_out_of_memory(task.options),
    )
    return stand or _fetched(network, task)


def _launched(fabric: Fabric, network: AidoCell, task: _Task) -> Stand | None:
    """Train in this process; of several, the first leaves the stand in its file."""
    if fabric.world_size > 1:
        configure_logging(level=task.level if fabric.is_global_zero else logging.WARNING)
    network.to(fabric.device).requires_grad_(True)
    network.attention = task.runtime.attention
    network.bert.recompute = task.options.activation_checkpointing
    with errors_left_at(task.state.parent, fabric):
        stand = train(fabric, network, task.material, task.options, task.seed, task.state, task.key)
    network.bert.recompute = False
    return stand if fabric.world_size == 1 else None


@torch.no_grad()
def _fetched(network: AidoCell, task: _Task) -> Stand:
    stand = Stand.load(task.state, task.key)
    for name, tensor in changing(network).items():
        tensor.copy_(stand.weights[f"network.{name}"])
    return stand


def _out_of_memory(options: PretrainOptions) -> MachineError:
    return MachineError(
        "E_GPU_MEMORY",
        f"training with batches of {options.batch_size} cells does not fit in the GPU's memory",
        fix="give a smaller --batch-size with a larger --accumulate, and --activation-checkpointing",
    )

"""Fine-tune a checkpoint to tell classes of cells apart."""

from __future__ import annotations

import copy
import logging
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from aidocell.embedding import Runtime, resolve_runtime
from aidocell.errors import InputError, MachineError
from aidocell.joblog import configure_logging
from aidocell.model import AidoCell
from aidocell.provenance import REVISION, require_same, run_key
from aidocell.train.course import SAVE_SECONDS, Course, Saving, changing
from aidocell.train.fabric import new_fabric
from aidocell.train.finetune_cells import Cells
from aidocell.train.finetune_loop import train
from aidocell.train.finetuned import FineTuned
from aidocell.train.finetuned_content import content_of, identity_of, plain
from aidocell.train.finetuned_heldout import with_held_out
from aidocell.train.heads import CellClassifier
from aidocell.train.lora import merge_lora
from aidocell.train.modes import prepare
from aidocell.train.options import FinetuneOptions
from aidocell.train.processes import errors_left_at, launch
from aidocell.train.readers import Pooled, counts_reader, pooled_cells, vectors_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning_fabric import Fabric

__all__ = ["SEED", "STATE", "finetune"]

log = logging.getLogger(__name__)

SEED = 42  # the framework's example recipe
STATE = "course.state"


def finetune(
    counts: sparse.csr_matrix,
    labels: Sequence[str] | np.ndarray,
    *,
    model: AidoCell,
    genes: Sequence[str] | None = None,
    options: FinetuneOptions | None = None,
    seed: int = SEED,
    groups: Sequence[str] | np.ndarray | None = None,
    validation: tuple[sparse.csr_matrix, np.ndarray] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    save_seconds: float = SAVE_SECONDS,
    distances: bool = False,
) -> FineTuned:
    """Fine-tune on labelled cells; their order changes nothing.

    Parameters
    ----------
    counts
        Raw counts over the model's genes, shape ``(cells, genes)``; no cell without a count.
    labels
        Class of each cell.
    model
        Where training starts; it stays as it is.
    genes
        Symbols of the columns, to be checked against the model's.
    groups
        Donor of each cell: those that judge epochs are none that is learned from.
    validation
        Counts and labels that judge epochs; without it cells are set apart by
        ``options.validation_share``.
    folder
        Where states are saved; None keeps none.
    resume
        Go on from the state in `folder`, if there is one; otherwise one that is there is refused.
    save_seconds
        After which the state is saved within an epoch; changes no result.
    distances
        Learn how far from the training cells a cell lies, by
        :mod:`aidocell.train.finetuned_heldout`.

    Returns
    -------
    FineTuned
        With the weights of the epoch that was best on the validation cells (the last one without
        such cells), calibrated on the same cells.

    Raises
    ------
    InputError
        ``E_USAGE``, ``E_LABEL_CLASSES``, ``E_MATRIX_SHAPE``, ``E_EMPTY_CELLS``, ``E_NOT_FINITE``,
        ``E_STORE_MISMATCH``: other genes, or a state of another training; ``E_FILE_DAMAGED``.
    MachineError
        ``E_GPU_MEMORY``.
    """
    options = options or FinetuneOptions()
    runtime = resolve_runtime(
        device=options.device, precision=options.precision, attention=options.attention
    )
    _require_genes(model, counts, genes)
    cells = Cells.of(
        counts,
        labels,
        groups=groups,
        validation=validation,
        share=options.validation_share,
        seed=seed,
    )
    base = identity_of(model)
    key = run_key(
        options=plain(options),
        resolved=asdict(runtime),
        seed=seed,
        cells=cells.digest,
        base=base["sha256"],
        revision=REVISION["finetune"],
    )
    backbone = copy.deepcopy(model)
    backbone.checkpoint = None  # what it was is `base`
    network = prepare(backbone, len(cells.classes), options, seed=seed)
    with _working_in(folder, options) as work:
        saving = None if work is None else Saving(Path(work) / STATE, key, save_seconds)
        _require_begun(saving, resume=resume)
        course, vectors = _trained(network, cells, options, runtime, seed, saving)
    if options.mode == "lora":
        merge_lora(network.backbone)
    content = content_of(cells, options, runtime, seed, base, model, course, key)
    history = pd.DataFrame(course.history)
    tuned = FineTuned(network.eval(), cells.classes, content, history, runtime)
    return with_held_out(tuned, cells, vectors, distances=distances)


def _trained(
    network: CellClassifier,
    cells: Cells,
    options: FinetuneOptions,
    runtime: Runtime,
    seed: int,
    saving: Saving | None,
) -> tuple[Course, tuple[np.ndarray, np.ndarray] | None]:
    """Train in place; the course, and the embeddings of a frozen backbone."""
    fabric = new_fabric(device=runtime.device, precision=runtime.precision, devices=options.devices)
    if options.mode == "frozen":
        vectors = pooled_cells(network, cells, runtime, saving)
        readers = tuple(map(vectors_reader, vectors))
        course = train(fabric, Pooled(network.head), readers, cells, options, seed, saving)
        return course, vectors
    level = logging.getLogger().getEffectiveLevel()
    task = _Task(
        cells=cells, options=options, seed=seed, saving=saving, runtime=runtime, level=level
    )
    course = launch(
        fabric,
        _launched,
        network,
        task,
        folder=None if saving is None else saving.path.parent,
        out_of_memory=_out_of_memory(options),
    )
    return course or _fetched(network, saving), None


class _Task(SimpleNamespace):
    """What `_launched` needs besides the network; Fabric looks into dataclasses, and refuses frozen ones."""


def _launched(fabric: Fabric, network: CellClassifier, task: _Task) -> Course | None:
    """Train in this process; of several, the first leaves the course in a file."""
    if fabric.world_size > 1:
        configure_logging(level=task.level)  # a spawned process begins without
    network.to(fabric.device)
    network.backbone.attention = task.runtime.attention
    cells = task.cells
    readers = (counts_reader(cells.train.counts), counts_reader(cells.validation.counts))
    folder = None if task.saving is None else task.saving.path.parent
    with errors_left_at(folder, fabric):
        course = train(fabric, network, readers, cells, task.options, task.seed, task.saving)
    return course if fabric.world_size == 1 else None


@torch.no_grad()
def _fetched(network: CellClassifier, saving: Saving) -> Course:
    course = saving.load()
    for name, tensor in changing(network).items():
        tensor.copy_(course.best["weights"][name])
    return course


def _working_in(folder: str | Path | None, options: FinetuneOptions) -> Any:
    """The folder, or where several processes need one to pass the weights on, a passing one."""
    if folder is None and options.devices > 1:
        return tempfile.TemporaryDirectory(prefix="aidocell-")
    return nullcontext(folder)


def _require_begun(saving: Saving | None, *, resume: bool) -> None:
    """Read a state in whole before any work, and refuse one that is not to be gone on from."""
    if saving is None or not saving.path.exists():
        return
    if not resume:
        raise InputError(
            "E_OUTPUT_EXISTS",
            f"{saving.path.parent} holds an unfinished training",
            fix="give --resume to go on with it, or --overwrite to begin anew",
        )
    saving.load()


def _require_genes(model: AidoCell, counts: sparse.csr_matrix, genes: Sequence[str] | None) -> None:
    require_same(
        "number of genes", model.config.n_genes, counts.shape[1], where="the matrix of counts"
    )
    if genes is not None and model.genes is not None:
        same = list(genes) == list(model.genes.symbols)
        require_same("the model's genes", True, same, where="the matrix of counts")


def _out_of_memory(options: FinetuneOptions) -> MachineError:
    return MachineError(
        "E_GPU_MEMORY",
        f"training with batches of {options.batch_size} cells does not fit in the GPU's memory",
        fix="give a smaller --batch-size with a larger --accumulate, and --activation-checkpointing",
    )

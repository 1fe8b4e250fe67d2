"""Fine-tuning from an INPUT to a folder: what the command line and the workflow call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aidocell.counts import InputOptions
from aidocell.errors import InputError
from aidocell.files import refuse_existing, remove
from aidocell.lock import hold
from aidocell.model import AidoCell, load_model
from aidocell.standalone import aligned_counts
from aidocell.tasks.labelled import Labelled, choose, require_other_group
from aidocell.tasks.stored import StoredCells, stored_counts
from aidocell.train.course import SAVE_SECONDS
from aidocell.train.finetune import SEED, finetune
from aidocell.train.finetuned import FineTuned
from aidocell.train.finetuned_folder import save_finetuned
from aidocell.train.options import FinetuneOptions
from aidocell.train.unfinished import work_beside

__all__ = ["finetune_file", "finetune_stores"]

log = logging.getLogger(__name__)


def finetune_file(
    source: str | Path,
    model: str,
    output: str | Path,
    *,
    label: str,
    group: str | None = None,
    input_options: InputOptions | None = None,
    options: FinetuneOptions | None = None,
    seed: int = SEED,
    min_cells_per_class: int | None = None,
    max_cells: int | None = None,
    min_share: float = 0.5,
    revision: str | None = None,
    accept_license: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    save_seconds: float = SAVE_SECONDS,
) -> None:
    """Align any INPUT and fine-tune on its labelled cells.

    Work so far lies in a hidden folder beside `output`, which one process holds at a time. A run
    that was killed goes on with `resume` and gives the same bytes as one that was not.

    Parameters
    ----------
    source
        Any INPUT, read by `input_options`.
    output
        The folder, in the form of :mod:`aidocell.train.finetuned_folder`.
    label, group
        Columns of the cells.
    overwrite
        Replace `output`; without `resume`, unfinished work is begun anew.

    Raises
    ------
    InputError
        What reading, aligning, loading and :func:`aidocell.train.finetune.finetune` raise;
        ``E_OUTPUT_EXISTS``: also where unfinished work is neither to be resumed nor replaced.
    MachineError
        ``E_LOCKED``, ``E_GPU_MEMORY``, ``E_DISK_FULL``; work so far stays.
    """
    output = Path(output)
    refuse_existing(output, overwrite=overwrite or resume, inputs=[source])
    with work_beside(output, overwrite=overwrite, resume=resume) as work:
        network = load_model(model, revision=revision, accept_license=accept_license)
        reading = input_options or InputOptions()
        counts = aligned_counts(Path(source), network, reading, min_share, work)
        labelled = _labelled(
            stored_counts([counts], None),
            label=label,
            group=group,
            min_cells_per_class=min_cells_per_class,
            max_cells=max_cells,
            seed=seed,
        )
        tuned = _tuned(labelled, network, label, options, seed, work, resume, save_seconds)
        save_finetuned(tuned, output, overwrite=overwrite or resume)


def finetune_stores(
    counts: Sequence[str | Path],
    network: AidoCell,
    output: str | Path,
    *,
    label: str,
    samples: Sequence[str] | None = None,
    group: str | None = None,
    options: FinetuneOptions | None = None,
    seed: int = SEED,
    min_cells_per_class: int | None = None,
    max_cells: int | None = None,
) -> None:
    """Fine-tune on the labelled cells of a study's stores; unfinished work is always gone on from.

    Work of other options, cells or checkpoint is begun anew. Other parameters as of
    :func:`finetune_file`; `output` is replaced.
    """
    output = Path(output)
    work = output.with_name(f".{output.name}.partial")
    with hold(output.with_name(f".{output.name}.lock")):
        labelled = _labelled(
            stored_counts(counts, samples),
            label=label,
            group=group,
            min_cells_per_class=min_cells_per_class,
            max_cells=max_cells,
            seed=seed,
        )
        try:
            tuned = _tuned(labelled, network, label, options, seed, work, True, SAVE_SECONDS)
        except InputError as error:
            if error.id not in ("E_STORE_MISMATCH", "E_FILE_DAMAGED") or not work.exists():
                raise
            log.warning("beginning anew: %s", error.what)
            remove(work)
            tuned = _tuned(labelled, network, label, options, seed, work, True, SAVE_SECONDS)
        save_finetuned(tuned, output, overwrite=True)
        remove(work)


def _labelled(
    cells: StoredCells,
    *,
    label: str,
    group: str | None,
    min_cells_per_class: int | None,
    max_cells: int | None,
    seed: int,
) -> Labelled:
    """The labelled cells with a count in the model's genes, and their counts."""
    require_other_group(label, group)
    chosen = choose(
        cells.column(label, "--label"),
        cells.names,
        groups=cells.column(group, "--group") if group else None,
        min_cells_per_class=min_cells_per_class,
        max_cells=max_cells,
        seed=seed,
    )
    for note in chosen.warnings:
        log.warning("%s", note["text"])
    labelled = chosen.with_matrices(counts=cells.counts(chosen.rows))
    filled = np.asarray(labelled.counts.sum(axis=1)).ravel() > 0
    if filled.all():
        return labelled
    empty = labelled.cells[~filled]
    first = ", ".join(empty[:3])
    number = f"{len(empty)} cell{'s' * (len(empty) != 1)}"
    log.warning("left out: %s without a count (first: %s)", number, first)
    return replace(
        labelled,
        cells=labelled.cells[filled],
        labels=labelled.labels[filled],
        groups=None if labelled.groups is None else labelled.groups[filled],
        counts=labelled.counts[filled],
    )


def _tuned(
    labelled: Labelled,
    network: AidoCell,
    label: str,
    options: FinetuneOptions | None,
    seed: int,
    work: Path,
    resume: bool,
    save_seconds: float,
) -> FineTuned:
    tuned = finetune(
        labelled.counts,
        labelled.labels,
        model=network,
        options=options,
        seed=seed,
        groups=labelled.groups,
        folder=work,
        resume=resume,
        save_seconds=save_seconds,
        distances=True,
    )
    training = {**tuned.content["training"], "label": label}
    return replace(tuned, content={**tuned.content, "training": training})

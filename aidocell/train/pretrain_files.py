"""Pre-training from INPUTs to a folder: what the command line calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aidocell.counts import InputOptions
from aidocell.errors import InputError
from aidocell.files import refuse_existing
from aidocell.model import AidoCell, load_model
from aidocell.standalone import aligned_counts
from aidocell.train.pretrain import pretrain
from aidocell.train.pretrain_options import Recipe, new_network
from aidocell.train.pretrained_folder import save_pretrained
from aidocell.train.unfinished import work_beside

__all__ = ["pretrain_files"]


def pretrain_files(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    recipe: Recipe,
    model: str | None = None,
    input_options: InputOptions | None = None,
    min_share: float = 0.5,
    revision: str | None = None,
    accept_license: bool = False,
    demonstration: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Align any INPUTs and pre-train on all their cells.

    Work so far lies in a hidden folder beside `output`, which one process holds at a time. A run
    that was killed goes on with `resume` and gives the same bytes as one that was not.

    Parameters
    ----------
    sources
        INPUTs, read by `input_options`; a ``counts.zarr.zip`` over the network's genes is read
        where it lies, all else is aligned into the hidden folder first.
    output
        The folder, in the form of :mod:`aidocell.train.pretrained_folder`.
    recipe
        How, and if no `model` is given, the shape of a network that begins with random weights.
    model
        Checkpoint to go on from.
    demonstration
        Whether the card says that the checkpoint is for demonstration only; that of a `model`
        which says so does in any case.
    overwrite
        Replace `output`; without `resume`, unfinished work is begun anew.

    Raises
    ------
    InputError
        What reading, aligning, loading and :func:`aidocell.train.pretrain.pretrain` raise;
        ``E_OUTPUT_EXISTS``: also where unfinished work is neither to be resumed nor replaced.
    MachineError
        ``E_LOCKED``, ``E_GPU_MEMORY``, ``E_DISK_FULL``; work so far stays.
    """
    output = Path(output)
    refuse_existing(output, overwrite=overwrite or resume, inputs=sources)
    _require_one_start(model, recipe)
    with work_beside(output, overwrite=overwrite, resume=resume) as work:
        network = _start(model, recipe, revision=revision, accept_license=accept_license)
        reading = input_options or InputOptions()
        counts = [
            aligned_counts(Path(source), network, reading, min_share, work / f"input{number}")
            for number, source in enumerate(sources)
        ]
        known = network.checkpoint
        trained = pretrain(
            network,
            counts,
            options=recipe.options,
            seed=recipe.seed,
            folder=work,
            resume=resume,
        )
        save_pretrained(
            trained,
            output,
            name=recipe.name,
            demonstration=demonstration or bool(known and known.demonstration),
            overwrite=overwrite or resume,
        )


def _require_one_start(model: str | None, recipe: Recipe) -> None:
    if model is None and recipe.network is None:
        raise InputError(
            "E_USAGE",
            "no network was given to begin with",
            fix="give --model M to go on from a checkpoint, or --shape 3M for random weights",
        )
    if model is not None and recipe.network is not None:
        raise InputError(
            "E_USAGE",
            "both a checkpoint and the shape of a new network were given",
            fix="leave out --model, or --shape and the recipe's key 'network'",
        )


def _start(
    model: str | None, recipe: Recipe, *, revision: str | None, accept_license: bool
) -> AidoCell:
    if model is None:
        return new_network(recipe.network, seed=recipe.seed)
    return load_model(model, revision=revision, accept_license=accept_license)

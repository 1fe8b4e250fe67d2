"""The folder of a pre-trained network: a checkpoint in the official form, with its loss curve."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aidocell import files
from aidocell.evaluate.tables import write_tsv
from aidocell.model import save_checkpoint
from aidocell.train.pretrain import Pretrained

__all__ = ["save_pretrained"]

_WIDTH, _HEIGHT = 6.0, 3.5  # inches


def save_pretrained(
    trained: Pretrained,
    folder: str | Path,
    *,
    name: str | None = None,
    demonstration: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the folder, whole or not at all; equal trainings give equal bytes.

    ``config.json``, ``pytorch_model.bin`` and, where the genes are not the built-in ones,
    ``genes.tsv`` are what every reader of checkpoints takes; ``card.json`` has the recipe, the
    digests of the counts and the last loss on cells set apart, ``history.tsv`` all such losses,
    and ``pretraining_loss.svg`` shows them.

    Parameters
    ----------
    name, demonstration
        What the card says: what the checkpoint is called, and that it is for demonstration only.
    """
    files.refuse_existing(folder, overwrite=overwrite)
    card = {**({"name": name} if name else {}), "demonstration": demonstration, **trained.content}
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        save_checkpoint(temporary, trained.network, card=card)
        if not trained.network.genes.is_builtin:
            trained.network.genes.write(temporary / "genes.tsv")
        write_tsv(trained.history, temporary / "history.tsv")
        _draw_losses(trained.history, temporary / "pretraining_loss.svg")


def _draw_losses(history: pd.DataFrame, path: Path) -> None:
    """Both losses over the steps, as SVG with the same bytes each time."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    for column, label in (("train_loss", "training"), ("validation_loss", "cells set apart")):
        axes.plot(history["step"], history[column], label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("mean squared error at masked genes")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "aidocell", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})

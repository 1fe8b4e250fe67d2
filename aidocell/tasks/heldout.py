"""What a method said of the labelled cells while it had not learned from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aidocell.errors import InputError
from aidocell.tasks.annotate import Evaluation
from aidocell.tasks.labelled import Labelled

__all__ = ["HeldOut", "held_out"]


@dataclass(frozen=True)
class HeldOut:
    """Out-of-fold predictions, sorted by cell name.

    Attributes
    ----------
    rows
        Places of the cells among the labelled ones.
    labels
        Their classes.
    fold
        The fold that each was held out in.
    probabilities
        As the method gave them, shape ``(cells, classes)``; classes as of the labelled cells.
    right
        Whether the class that it called was the cell's own.
    """

    rows: np.ndarray
    labels: np.ndarray
    fold: np.ndarray
    probabilities: np.ndarray
    right: np.ndarray


def held_out(evaluation: Evaluation, method: str, labelled: Labelled) -> HeldOut:
    """The method's predictions in a cross-validation of these cells; of repeats the first.

    Cells of a class that lies in one fold alone are left out: nobody had learned it there.

    Raises
    ------
    InputError
        ``E_CONFIG``: the evaluation is of another method or of other cells.
    """
    mine = evaluation.predictions.query("method == @method").drop_duplicates("cell")
    mine = mine[mine.groupby("true")["fold"].transform("nunique") > 1].sort_values("cell")
    rows = pd.Index(labelled.cells).get_indexer(mine["cell"])
    same = len(mine) and (rows >= 0).all()
    if not same or (labelled.labels[rows] != mine["true"]).any():
        what = f"the evaluation does not judge '{method}' by the cells that are learned from"
        raise InputError("E_CONFIG", what, fix="evaluate that method on these cells first")
    columns = [f"p_{name}" for name in labelled.classes]
    return HeldOut(
        rows=rows,
        labels=labelled.labels[rows],
        fold=mine["fold"].to_numpy(),
        probabilities=mine.reindex(columns=columns, fill_value=0.0).to_numpy(),
        right=(mine["predicted"] == mine["true"]).to_numpy(),
    )

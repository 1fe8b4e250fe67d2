"""What ``study/finetune`` says of its training, as the report needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from aidocell.errors import InputError
from aidocell.files import sha256_file
from aidocell.provenance import require_same

__all__ = ["Tuning", "read_tuning"]

_NUMBERS = (
    "epoch",
    "step",
    "train_loss",
    "validation_loss",
    "validation_macro_f1",
    "learning_rate",
)


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning that has ended.

    Attributes
    ----------
    content
        ``classifier.json``.
    history
        One row an epoch, with the columns of ``history.tsv``; NaN where nothing was judged.
    """

    content: Mapping[str, Any]
    history: pd.DataFrame = field(repr=False)

    @property
    def mode(self) -> str:
        """What was trained."""
        return self.content["options"]["mode"]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        return self.content["validation"]["epoch"]


def read_tuning(folder: Path, model: Mapping[str, object]) -> Tuning | None:
    """Read ``study/finetune``; None where it was not made.

    Parameters
    ----------
    model
        ``model.json``; a network that began with another checkpoint is refused.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``; ``E_MODEL_HASH``, ``E_FILE_DAMAGED``: it is not as it was written.
    """
    if not (folder / "classifier.json").is_file():
        return None
    from aidocell.train.finetuned_folder import read_content

    content = read_content(folder)
    path = folder / "history.tsv"
    if not path.is_file() or sha256_file(path) != content["files"]["history.tsv"]:
        what = f"{path} is not as it was written beside classifier.json"
        raise InputError("E_STORE_DAMAGED", what, fix="delete it and run the study again")
    if model:
        found = content["base"]["sha256"]
        require_same("checkpoint", model["sha256"], found, where=str(folder))
    table = pd.read_csv(path, sep="\t")
    numeric = {name: pd.to_numeric(table[name], errors="coerce") for name in _NUMBERS}
    return Tuning(content, pd.DataFrame(numeric))

"""The classifier that a study leaves for new data: how sure it is, and what it takes for unknown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.provenance import require_same

__all__ = ["read_classifier"]


def read_classifier(folder: Path, model: Mapping[str, object]) -> Mapping[str, Any] | None:
    """What ``study/annotate/classifier`` says of itself; None where it was not made.

    Parameters
    ----------
    model
        ``model.json``; a classifier for another checkpoint is refused.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``; ``E_MODEL_HASH``, ``E_FILE_DAMAGED``, ``E_FILE_FORMAT``: it is not as
        this version writes it.
    """
    if not (folder / "classifier.json").is_file():
        return None
    from aidocell.tasks.classifier_folder import read_content

    content = read_content(folder)
    if model:
        found = content["embedding"]["model"]["sha256"]
        require_same("checkpoint", model["sha256"], found, where=str(folder))
    return content

"""Cell types of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.tasks.annotate_files import annotate_evaluate, annotate_train

__all__ = ["annotate_study"]


def annotate_study(
    folder: str | Path,
    *,
    samples: Sequence[str],
    embeddings: Sequence[str],
    counts: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Judge every method on the labelled cells of all samples, then train the classifier.

    Parameters
    ----------
    folder
        ``study/annotate``; the tables, and the folder ``classifier``.
    embeddings, counts
        Stores of the samples, in their order.
    options
        The configuration's ``annotate``.
    """
    shared = {
        name: options[name] for name in ("label", "group", "folds", "seed", "min_cells_per_class")
    }
    annotate_evaluate(
        folder,
        embeddings=embeddings,
        counts=counts,
        samples=samples,
        methods=options["methods"],
        overwrite=True,
        **shared,
    )
    annotate_train(
        embeddings,
        Path(folder) / "classifier",
        samples=samples,
        method=options["classifier"],
        overwrite=True,
        **shared,
    )

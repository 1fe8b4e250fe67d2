"""Cell types of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.lineage import require_planned
from aidocell.stages.finetune import finetune_options
from aidocell.tasks.annotate_files import annotate_train
from aidocell.tasks.evaluate_files import annotate_evaluate
from aidocell.train.options import Network

__all__ = ["annotate_study"]


def annotate_study(
    folder: str | Path,
    *,
    samples: Sequence[str],
    embeddings: Sequence[str],
    counts: Sequence[str],
    plans: Sequence[str] | None = None,
    options: Mapping[str, Any],
    model: str | None = None,
    revision: str | None = None,
    accept_license: bool = False,
    device: str = "auto",
    attention: str = "auto",
) -> None:
    """Judge every method on the labelled cells of all samples, then train the classifier.

    Parameters
    ----------
    folder
        ``study/annotate``; the tables, and the folder ``classifier``.
    embeddings, counts
        Stores of the samples, in their order.
    plans
        ``shards.json`` of each sample: stores of another plan are refused.
    options
        The configuration's ``annotate``.
    model, revision, accept_license, device, attention
        What the method ``finetune`` begins with and where it computes, if it is among the methods.
    """
    if plans is not None:
        require_planned(samples, plans, counts, embeddings)
    names = ("label", "group", "folds", "seed", "min_cells_per_class", "max_cells")
    shared = {name: options[name] for name in names}
    network = None
    if "finetune" in options["methods"]:
        tuning = finetune_options(options["finetune"], device=device, attention=attention)
        network = Network(
            model=model, revision=revision, accept_license=accept_license, options=tuning
        )
    annotate_evaluate(
        folder,
        embeddings=embeddings,
        counts=counts,
        samples=samples,
        methods=options["methods"],
        repeats=options["repeats"],
        leave_one_group_out=options["leave_one_group_out"],
        settings={"reference": options["reference"], "network": network},
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

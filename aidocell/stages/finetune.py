"""The checkpoint fine-tuned on the cell types of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.lineage import require_planned
from aidocell.provenance import require_same
from aidocell.records import read_record
from aidocell.train.options import FinetuneOptions

__all__ = ["finetune_options", "finetune_study"]


def finetune_study(
    folder: str | Path,
    *,
    samples: Sequence[str],
    counts: Sequence[str],
    plans: Sequence[str],
    record: str | Path,
    options: Mapping[str, Any],
    model: str,
    revision: str | None = None,
    accept_license: bool = False,
    device: str = "auto",
    attention: str = "auto",
) -> None:
    """Fine-tune on the labelled cells of all samples; a job that was killed goes on.

    Parameters
    ----------
    folder
        ``study/finetune``; it is replaced.
    counts, plans
        ``counts.zarr.zip`` and ``shards.json`` of the samples, in their order: counts that are
        not those of the plan are refused.
    record
        ``model.json``: another checkpoint is refused.
    options
        ``label``, ``group``, ``min_cells_per_class``, ``max_cells`` and ``finetune`` of the
        configuration's ``annotate``.
    device, attention
        Of the configuration's ``embed``.
    """
    from aidocell.model import load_model
    from aidocell.train.finetune_files import finetune_stores

    require_planned(samples, plans, counts)
    network = load_model(model, revision=revision, accept_license=accept_license)
    expected = read_record(record)["sha256"]
    require_same("checkpoint", expected, network.checkpoint.sha256, where=model)
    names = ("label", "group", "min_cells_per_class", "max_cells")
    finetune_stores(
        counts,
        network,
        folder,
        samples=samples,
        options=finetune_options(options["finetune"], device=device, attention=attention),
        seed=options["finetune"]["seed"],
        **{name: options[name] for name in names},
    )


def finetune_options(given: Mapping[str, Any], **where: str) -> FinetuneOptions:
    """From the configuration's ``annotate.finetune``, and where to compute."""
    named = {name: value for name, value in given.items() if name not in ("seed", "learning_rate")}
    return FinetuneOptions(rate=given["learning_rate"], **named, **where)

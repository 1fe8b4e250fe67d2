"""What a fine-tuned folder says of itself, and where its training began."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from aidocell.embedding import Runtime
from aidocell.model import AidoCell, weights
from aidocell.provenance import REVISION, VERSION
from aidocell.train.course import Course
from aidocell.train.finetune_cells import Cells
from aidocell.train.finetuned import FORMAT, KIND
from aidocell.train.options import FinetuneOptions

__all__ = ["content_of", "identity_of", "plain"]


def identity_of(model: AidoCell) -> dict[str, Any]:
    """Id, digest and whether for demonstration only, also of a network that was never a file."""
    known = model.checkpoint
    if known is None:
        digest = weights.digest(model.state_dict())
        return {"id": f"sha256:{digest[:12]}", "sha256": digest, "demonstration": False}
    return {"id": known.id, "sha256": known.sha256, "demonstration": known.demonstration}


def plain(options: FinetuneOptions) -> dict[str, Any]:
    """Options as JSON has them."""
    return {**asdict(options), "betas": list(options.betas)}


def content_of(
    cells: Cells,
    options: FinetuneOptions,
    runtime: Runtime,
    seed: int,
    base: dict[str, Any],
    model: AidoCell,
    course: Course,
    key: str,
) -> dict[str, Any]:
    """What ``classifier.json`` says, but for the label's name and the checksums."""
    best = course.best["row"]
    number = len(cells.classes)
    sizes = {
        name: np.bincount(part.codes, minlength=number).tolist()
        for name, part in (("train", cells.train), ("validation", cells.validation))
    }
    return {
        "format": FORMAT,
        "kind": KIND,
        "version": VERSION,
        "revision": REVISION["finetune"],
        "method": "finetune",
        "classes": cells.classes.tolist(),
        "support": sizes["train"],
        "base": base,
        "genes_sha256": None if model.genes is None else model.genes.sha256,
        "options": plain(options),
        "resolved": asdict(runtime),
        "training": {
            "label": "labels",
            "cells": len(cells.train),
            "sha256": cells.digest,
            "seed": seed,
            "key": key,
        },
        "validation": {
            "cells": len(cells.validation),
            "support": sizes["validation"],
            "set_apart": cells.set_apart,
            "epoch": best["epoch"],
            "macro_f1": best["validation_macro_f1"],
            "loss": best["validation_loss"],
        },
        "calibration": None,
        "similarity": None,
    }

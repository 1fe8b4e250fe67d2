"""The folder of a fine-tuned network: a checkpoint in the official form, and a head.

``config.json``, ``pytorch_model.bin``, ``card.json`` and, if the genes are not the built-in ones,
``genes.tsv`` are what any reader of checkpoints takes; ``head.safetensors``, ``history.tsv``,
``classifier.json`` and, if some cells were set apart, ``distances.safetensors`` are added to them,
and ``README.md`` for people. ``classifier.json`` records the
sha256 of the others and of its own content. All of it is read as if it came from a stranger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import torch
from torch import nn

from aidocell import files
from aidocell.embedding import resolve_runtime
from aidocell.evaluate.tables import write_tsv
from aidocell.model import load_model, save_checkpoint
from aidocell.provenance import run_key
from aidocell.tasks.folder_content import FolderKind
from aidocell.tasks.similarity import SCHEMA as SIMILARITY
from aidocell.tasks.similarity import array_shapes
from aidocell.train.finetuned import FORMAT, KIND, LARGEST_JSON, FineTuned
from aidocell.train.finetuned_card import write_card
from aidocell.train.heads import CellClassifier, new_head
from aidocell.train.options import HEADS, MODES, POOLINGS

__all__ = ["load_finetuned", "read_content", "save_finetuned"]

_KIND = FolderKind(
    what="fine-tuned network",
    short="network",
    again="fine-tune anew",
    given="give the folder that 'aidocell finetune' of this version wrote",
    largest=LARGEST_JSON,
)
_REQUIRED = ("config.json", "pytorch_model.bin", "card.json", "head.safetensors", "history.tsv")
_DISTANCES = "distances.safetensors"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NUMBER = {"type": ["number", "null"]}
_SIZES = {"type": "array", "items": _COUNT}


def _object(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": required, **more}


_SCHEMA = _object(
    {
        "format": {"const": FORMAT},
        "kind": {"const": KIND},
        "classes": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 2,
            "maxItems": 100_000,
            "uniqueItems": True,
        },
        "support": _SIZES,
        "base": _object({"id": _TEXT, "sha256": _TEXT, "demonstration": {"type": "boolean"}}),
        "genes_sha256": _HEX,
        "options": _object(
            {
                "mode": {"enum": list(MODES)},
                "head": {"enum": list(HEADS)},
                "pooling": {"enum": list(POOLINGS)},
            }
        ),
        "resolved": {"type": "object", "additionalProperties": _TEXT},
        "training": _object(
            {"label": _TEXT, "cells": _COUNT, "sha256": _HEX, "seed": _COUNT, "key": _HEX}
        ),
        "validation": _object(
            {
                "cells": _COUNT,
                "support": _SIZES,
                "set_apart": _TEXT,
                "epoch": _COUNT,
                "macro_f1": _NUMBER,
                "loss": _NUMBER,
            }
        ),
        "calibration": {
            "anyOf": [
                {"type": "null"},
                _object({"temperature": {"type": "number", "exclusiveMinimum": 0}}),
            ]
        },
        "similarity": {"anyOf": [{"type": "null"}, SIMILARITY]},
        "files": {
            "type": "object",
            "required": list(_REQUIRED),
            "properties": dict.fromkeys((*_REQUIRED, "genes.tsv", _DISTANCES), _HEX),
            "additionalProperties": False,
        },
        "content_sha256": _HEX,
    }
)


def save_finetuned(tuned: FineTuned, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; equal networks give equal bytes."""
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save

    files.refuse_existing(folder, overwrite=overwrite)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        backbone = tuned.network.backbone
        save_checkpoint(temporary, backbone, card=_card(tuned.content))
        if not backbone.genes.is_builtin:
            backbone.genes.write(temporary / "genes.tsv")
        head = {name: t.detach().cpu() for name, t in tuned.network.head.state_dict().items()}
        (temporary / "head.safetensors").write_bytes(save(head))
        if tuned.arrays:
            arrays = {name: np.ascontiguousarray(a) for name, a in tuned.arrays.items()}
            (temporary / _DISTANCES).write_bytes(save_arrays(arrays))
        write_tsv(tuned.history, temporary / "history.tsv")
        written = sorted(path.name for path in temporary.iterdir())
        digests = {name: files.sha256_file(temporary / name) for name in written}
        content = {**tuned.content, "files": digests}
        content["content_sha256"] = run_key(**content)
        files.write_json(temporary / "classifier.json", content)
        write_card(content, temporary / "README.md")


def load_finetuned(
    folder: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    attention: str = "auto",
) -> FineTuned:
    """Read the folder as one of unknown origin; nothing in it is executed.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``: no such folder. ``E_FILE_FORMAT``: not a fine-tuned network, or of a
        newer version. ``E_FILE_DAMAGED``: content that makes no sense. ``E_MODEL_HASH``: content
        other than what its checksums record. What :func:`aidocell.load_model` raises.
    """
    runtime = resolve_runtime(device=device, precision=precision, attention=attention)
    folder = Path(folder)
    content = read_content(folder)
    for name, expected in content.pop("files").items():
        path = folder / name
        if not path.is_file():
            raise _KIND.damaged(folder, f"{name} is missing")
        _KIND.require_hash(expected, files.sha256_file(path), path)
    backbone = load_model(folder, device=runtime.device)
    _KIND.require_hash(content["genes_sha256"], backbone.genes.sha256, folder / "genes.tsv")
    classes = np.array(content["classes"], dtype=object)
    head = _read_head(folder, content, backbone.config.hidden_size)
    network = CellClassifier(backbone, head, content["options"]["pooling"]).eval()
    try:
        history = pd.read_csv(folder / "history.tsv", sep="\t")
    except (ValueError, UnicodeDecodeError) as error:
        raise _KIND.damaged(folder, f"history.tsv: {error}") from error
    arrays = _read_arrays(folder, content, backbone.config.hidden_size)
    return FineTuned(network, classes, content, history, runtime, arrays)


def read_content(folder: str | Path) -> dict[str, Any]:
    """``classifier.json``, checked against its schema and checksum; errors as `load_finetuned`."""
    return _KIND.read_content(
        Path(folder), require_format=_require_format, require_sense=_require_schema
    )


def _read_head(folder: Path, content: dict[str, Any], hidden: int) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    head = new_head(content["options"]["head"], hidden, len(content["classes"]), seed=0)
    try:
        stored = load_file(folder / "head.safetensors")
        head.load_state_dict(stored)
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise _KIND.damaged(folder, f"head.safetensors: {str(error).splitlines()[0]}") from error
    if not all(torch.isfinite(tensor).all() for tensor in head.state_dict().values()):
        raise _KIND.damaged(folder, "head.safetensors holds NaN or infinity")
    return head


def _read_arrays(folder: Path, content: dict[str, Any], hidden: int) -> dict[str, np.ndarray]:
    """What distances are measured by; nothing where there is no unit."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if content["similarity"] is None:
        return {}
    try:
        arrays = load_file(folder / _DISTANCES)
    except (SafetensorError, OSError, ValueError) as error:
        raise _KIND.damaged(folder, f"{_DISTANCES}: {str(error).splitlines()[0]}") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    classes = shapes.get("centroids", (0,))[0]
    finite = all(a.dtype == np.float64 and np.isfinite(a).all() for a in arrays.values())
    if (
        shapes != array_shapes(hidden, classes)
        or not finite
        or not 1 <= classes <= len(content["classes"])
    ):
        raise _KIND.damaged(folder, f"{_DISTANCES} holds something else than distances need")
    return arrays


def _card(content: dict[str, Any]) -> dict[str, Any]:
    base = content["base"]
    return {
        "demonstration": base["demonstration"],
        "description": "Fine-tuned to tell classes of cells apart; its head is in head.safetensors.",
        "base": {"id": base["id"], "sha256": base["sha256"]},
        "mode": content["options"]["mode"],
    }


def _require_schema(content: dict[str, Any]) -> None:
    for problem in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(content):
        raise ValueError(f"something is wrong in {'.'.join(map(str, problem.path)) or 'its keys'}")
    if content["classes"] != sorted(content["classes"]):
        raise ValueError("the classes are not sorted")
    sizes = (content["support"], content["validation"]["support"])
    if any(len(size) != len(content["classes"]) for size in sizes):
        raise ValueError("classes and support differ in length")


def _require_format(content: Any, folder: Path) -> None:
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise _KIND.refused(folder, "classifier.json does not say so")
    if content.get("format") != FORMAT:
        raise _KIND.refused(folder, f"it is of format {content.get('format')!r}, not {FORMAT}")

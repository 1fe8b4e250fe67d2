"""AIDO.Cell on single-cell data: count matrices in; embeddings, cell types and a report out.

The public functions load on first use, so that ``import aidocell`` costs no torch import.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.provenance import VERSION as __version__

_HOMES = {
    "read_counts": "aidocell.counts",
    "align": "aidocell.counts.align",
    "load_model": "aidocell.model",
    "preprocess": "aidocell.model",
    "embed": "aidocell.embedding",
    "read_store": "aidocell.store",
    "verify": "aidocell.store",
    "export": "aidocell.store",
}

__all__ = ["AidocellError", "InputError", "MachineError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aidocell' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

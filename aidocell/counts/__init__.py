"""Reading count matrices, the raw-count contract, QC and alignment to a vocabulary.

Names are imported when they are used, so that the child process that probes a file starts fast.
The functions ``align`` and ``qc`` are in the modules of those names.
"""

from __future__ import annotations

from importlib import import_module

__all__ = [
    "CountSource",
    "InputOptions",
    "align_file",
    "check",
    "open_counts",
    "read_counts",
]

_HOMES = {
    "CountSource": "source",
    "InputOptions": "options",
    "align_file": "align",
    "check": "audit",
    "open_counts": "source",
    "read_counts": "source",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

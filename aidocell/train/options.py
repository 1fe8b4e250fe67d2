"""How a network is trained; plain values that need no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Network"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Which checkpoint, and how it is fine-tuned.

    Attributes
    ----------
    model, revision, accept_license
        As of :func:`aidocell.load_model`.
    """

    model: str
    revision: str | None = None
    accept_license: bool = False

"""Which checkpoint the study uses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from aidocell.model import checkpoint_info
from aidocell.records import write_record

__all__ = ["describe_model"]


def describe_model(
    model: str, output: str | Path, *, revision: str | None, accept_license: bool
) -> None:
    """Fetch the checkpoint if need be and write what it is, ``model.json``."""
    write_record(
        output, asdict(checkpoint_info(model, revision=revision, accept_license=accept_license))
    )

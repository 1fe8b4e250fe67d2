"""Measure and judge the cells of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.counts.options import InputOptions
from aidocell.counts.qc import qc, write_qc
from aidocell.genes import vocabulary_of

__all__ = ["qc_sample"]


def qc_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    thresholds: Mapping[str, Any],
    model: str,
) -> None:
    """Write ``qc.parquet``: one row a cell, kept or why not."""
    write_qc(output, qc(path, options, dict(thresholds), vocabulary=vocabulary_of(model)))

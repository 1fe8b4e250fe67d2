"""Measure and judge the cells of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.counts.audit import input_sha256
from aidocell.counts.options import InputOptions
from aidocell.counts.qc import qc_file
from aidocell.genes import vocabulary_of
from aidocell.stages.check import require_audited

__all__ = ["qc_sample"]


def qc_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    audit: str | Path,
    thresholds: Mapping[str, Any],
    model: str,
    sample: str | None = None,
) -> None:
    """Write ``qc.parquet``: one row a cell, kept or why not.

    Parameters
    ----------
    audit
        ``audit.json`` of the sample.
    sample
        Its name in the study: the audit of another is refused, and alignment refuses this table
        for another.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: it is of another file; what :func:`aidocell.counts.qc.qc_file` raises.
    """
    made_from = options.made_from(input_sha256(path))
    require_audited(audit, path, made_from["input_sha256"], sample=sample)
    qc_file(
        path,
        options,
        output,
        thresholds=dict(thresholds),
        vocabulary=vocabulary_of(model),
        made_from={**made_from, "sample": sample, "thresholds": dict(thresholds)},
    )

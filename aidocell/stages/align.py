"""Place the kept cells of a sample on the genes of the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.counts.align import align_source
from aidocell.counts.audit import input_sha256
from aidocell.counts.metadata import cell_table
from aidocell.counts.options import InputOptions
from aidocell.counts.qctable import kept_cells
from aidocell.counts.source import open_counts
from aidocell.counts.subset import choose_cells
from aidocell.files import refuse_existing
from aidocell.genes import vocabulary_of
from aidocell.lineage import asked_of_alignment, origin_of_qc
from aidocell.stages.check import require_audited
from aidocell.tables import about_table

__all__ = ["align_sample"]

log = logging.getLogger(__name__)


def align_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    audit: str | Path,
    qc_table: str | Path,
    model: str,
    min_share: float,
    subset: Mapping[str, Any],
    metadata: str | None,
    columns: Mapping[str, str],
    sample: str | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> None:
    """Write the kept cells over the model's genes, ``counts.zarr.zip``.

    Parameters
    ----------
    audit, qc_table
        ``audit.json`` and ``qc.parquet`` of the sample.
    subset
        The configuration's ``subset``: number of cells, column to balance over, seed.
    metadata, columns
        What the sample sheet adds to the cells, as in :func:`aidocell.counts.metadata.cell_table`.
    sample, thresholds
        Its name in the study and its thresholds of QC: the files of another are refused, and so is
        an older table.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: they were made from another file; what reading and aligning raise.
    """
    refuse_existing(output, overwrite=True, inputs=[path])
    made_from = options.made_from(input_sha256(path))
    require_audited(audit, path, made_from["input_sha256"], sample=sample)
    judged_from = {**made_from, "sample": sample, "thresholds": thresholds}
    with open_counts(path, options) as source:
        kept = kept_cells(qc_table, source.cells.names, made_from=judged_from)
        added = cell_table(source.cells.names, metadata=metadata, columns=columns)
        if subset["cells"] is not None:
            log.info("drawing %d of %d kept cells", subset["cells"], kept.sum())
            kept = choose_cells(
                source.cells.joined(added),
                kept,
                number=subset["cells"],
                balance=subset["balance"],
                seed=subset["seed"],
            )
        key = origin_of_qc(about_table(qc_table))["qc_key"]
        asked = asked_of_alignment(subset, metadata, columns)
        of_study = {"sample": sample} if sample else {}
        align_source(
            source,
            output,
            made_from={**made_from, "qc_key": key, "asked": asked, **of_study},
            vocabulary=vocabulary_of(model),
            kept=kept,
            added=added,
            min_share=min_share,
            overwrite=True,
        )

"""Place the kept cells of a sample on the genes of the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.counts.align import align_file
from aidocell.counts.metadata import cell_table
from aidocell.counts.options import InputOptions
from aidocell.counts.qc import read_qc
from aidocell.counts.source import open_counts
from aidocell.counts.subset import choose_cells
from aidocell.genes import vocabulary_of

__all__ = ["align_sample"]

log = logging.getLogger(__name__)


def align_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    qc_table: str | Path,
    model: str,
    min_share: float,
    subset: Mapping[str, Any],
    metadata: str | None,
    columns: Mapping[str, str],
) -> None:
    """Write the kept cells over the model's genes, ``counts.zarr.zip``.

    Parameters
    ----------
    qc_table
        ``qc.parquet`` of the sample.
    subset
        The configuration's ``subset``: number of cells, column to balance over, seed.
    metadata, columns
        What the sample sheet adds to the cells, as in :func:`aidocell.counts.metadata.cell_table`.
    """
    table = read_qc(qc_table)
    kept = table.loc[table["kept"], "cell"].tolist()
    with open_counts(path, options) as source:
        own = source.obs
    added = cell_table(own.index, metadata=metadata, columns=columns)
    if subset["cells"] is not None:
        known = own.drop(columns=added.columns, errors="ignore").join(added).loc[kept]
        log.info("drawing %d of %d kept cells", subset["cells"], len(kept))
        kept = choose_cells(
            known, number=subset["cells"], balance=subset["balance"], seed=subset["seed"]
        )
    align_file(
        path,
        output,
        options=options,
        vocabulary=vocabulary_of(model),
        keep=kept,
        extra_obs=added,
        min_share=min_share,
        overwrite=True,
    )

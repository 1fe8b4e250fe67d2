"""The map of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aidocell.lineage import require_planned
from aidocell.report.umap import make_map

__all__ = ["map_study"]


def map_study(
    samples: Sequence[str],
    embeddings: Sequence[str | Path],
    plans: Sequence[str | Path],
    output: str | Path,
    *,
    max_cells: int,
) -> None:
    """Lay out the cells of all samples, ``map.parquet``.

    Parameters
    ----------
    embeddings, plans
        ``embeddings.zarr.zip`` and ``shards.json`` of each sample, in their order.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: embeddings of another sample or plan; ``E_STORE_DAMAGED``.
    """
    require_planned(samples, plans, embeddings)
    make_map(dict(zip(samples, embeddings, strict=True)), output, max_cells=max_cells)

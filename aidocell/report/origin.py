"""Whether the files of a results folder belong together, before a report says that they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aidocell.lineage import (
    origin_of_audit,
    origin_of_model,
    origin_of_plan,
    origin_of_qc,
    origin_of_store,
    require_one_origin,
)
from aidocell.provenance import require_same
from aidocell.report.annotation import Annotation
from aidocell.report.cellmap import CellMap
from aidocell.seal import read_seal
from aidocell.store import StoreReader

__all__ = ["require_one_sample", "require_one_study"]

_NONE: Mapping[str, Any] = MappingProxyType({})
_FIX = "run the study again: it was made from other embeddings"


def require_one_sample(
    folder: Path,
    name: str,
    *,
    audit: Mapping[str, Any],
    model: Mapping[str, Any] = _NONE,
    qc: Mapping[str, Any] = _NONE,
    plan: Mapping[str, Any] = _NONE,
    embeddings: Mapping[str, Any] = _NONE,
) -> None:
    """Refuse files of a sample's folder that were not made from one another.

    Parameters
    ----------
    audit, model, plan
        Contents of ``audit.json``, ``model.json`` and ``shards.json``; empty where there is none.
    qc, embeddings
        What ``qc.parquet`` and ``embeddings.zarr.zip`` say about themselves.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``, naming the file.
    """
    parts = {
        "the sample sheet": {"sample": name},
        "model.json": origin_of_model(model),
        str(folder / "audit.json"): origin_of_audit(audit),
        str(folder / "qc.parquet"): origin_of_qc(qc),
        str(folder / "counts.zarr.zip"): _counts(folder / "counts.zarr.zip") if embeddings else {},
        str(folder / "shards.json"): origin_of_plan(plan),
        str(folder / "embeddings.zarr.zip"): origin_of_store(embeddings),
    }
    require_one_origin(parts)


def require_one_study(
    results: Path, names: Sequence[str], cells: CellMap | None, annotation: Annotation | None
) -> None:
    """Refuse a map, or tables of cell types, made from other embeddings than those that are there."""
    stores = {name: results / "samples" / name / "embeddings.zarr.zip" for name in names}
    seals = {name: read_seal(path) for name, path in stores.items() if path.is_file()}
    if cells is not None and cells.embeddings:
        where = str(results / "study" / "map.parquet")
        require_same("embeddings", seals, dict(cells.embeddings), where=where, fix=_FIX)
    if annotation is not None and annotation.summary.get("embeddings"):
        where, found = str(results / "study" / "annotate"), annotation.summary["embeddings"]
        require_same("embeddings", list(seals.values()), found, where=where, fix=_FIX)


def _counts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    with StoreReader(path) as store:
        return origin_of_store(store.provenance)

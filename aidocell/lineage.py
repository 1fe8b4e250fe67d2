"""Whether results belong together: what a stage asks before it uses what others wrote.

Every result names what it was made from. :func:`require_one_origin` compares the names that any
two of them share, so a file of another sample, another run or an older version is refused by the
stage that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.provenance import require_same
from aidocell.records import read_record

__all__ = [
    "origin_of_audit",
    "origin_of_model",
    "origin_of_plan",
    "origin_of_qc",
    "origin_of_store",
    "require_one_origin",
    "require_planned",
]

_FIX = "delete it and run the study again; it was made from something else"
_SHARED = {
    "sample": "sample",
    "input_sha256": "input sha256",
    "genes_sha256": "gene list",
    "qc_key": "QC",
    "counts_digest": "counts digest",
    "checkpoint": "checkpoint",
    "reading": "input options",
    "options": "options",
    "embed_key": "run key",
}


def require_one_origin(parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse results that were not made from one another.

    Parameters
    ----------
    parts
        Origins, as the functions here give them, by the name of the file or setting that an error
        names. What the first says is what the others must say; a field that a part lacks is not
        compared.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``, naming the part that differs.
    """
    expected: dict[str, Any] = {}
    for where, origin in parts.items():
        for field, name in _SHARED.items():
            if (found := origin.get(field)) is not None:
                require_same(name, expected.setdefault(field, found), found, where=where, fix=_FIX)


def require_planned(
    samples: Sequence[str], plans: Sequence[str | Path], *stores: Sequence[str | Path]
) -> None:
    """Refuse stores that are not of their sample's plan; all in the order of `samples`."""
    from aidocell.store import (
        StoreReader,  # here, since admission asks too and the Snakefile admission
    )

    for name, plan, *made in zip(samples, plans, *stores, strict=True):
        parts = {"the sample sheet": {"sample": name}, str(plan): origin_of_plan(plan)}
        for path in made:
            with StoreReader(path) as store:
                parts[str(path)] = origin_of_store(store.provenance)
        require_one_origin(parts)


def origin_of_audit(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Of the content of ``audit.json``."""
    return {
        "sample": audit.get("sample"),
        "input_sha256": audit.get("sha256"),
        "genes_sha256": audit.get("genes_sha256"),
    }


def origin_of_qc(about: Mapping[str, Any]) -> dict[str, Any]:
    """Of what ``qc.parquet`` says about itself."""
    made_from = about.get("made_from", {})
    return {
        **_named(about, "sample", "qc_key"),
        "input_sha256": made_from.get("input_sha256"),
        "reading": made_from.get("options"),
    }


def origin_of_model(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of the content of ``model.json``."""
    return {**_named(record, "genes_sha256"), "checkpoint": record.get("sha256")}


def origin_of_plan(plan: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Of ``shards.json``, or its content."""
    content = plan if isinstance(plan, Mapping) else read_record(plan)
    return {
        **_named(content, "genes_sha256", "counts_digest", "options"),
        "checkpoint": content.get("model", {}).get("sha256"),
        "embed_key": content.get("run_key"),
    }


def origin_of_store(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Of the provenance of ``counts.zarr.zip`` or of embeddings."""
    shared = _named(provenance, "sample", "input_sha256", "genes_sha256", "counts_digest")
    if provenance.get("stage") != "embed":
        return {**shared, **_named(provenance, "qc_key"), "reading": provenance.get("options")}
    return {**shared, **_named(origin_of_plan(provenance), "checkpoint", "options", "embed_key")}


def _named(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record.get(name) for name in names}

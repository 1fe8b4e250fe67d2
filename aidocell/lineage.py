"""Whether results belong together: what a stage asks before it uses what others wrote.

Every result names what it was made from. :func:`require_one_origin` compares the names that any
two of them share, so a file of another sample, another run or an older version is refused by the
stage that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aidocell.files import sha256_file
from aidocell.provenance import REVISION, require_same, run_key
from aidocell.records import read_record

__all__ = [
    "asked_of_alignment",
    "origin_of_audit",
    "origin_of_model",
    "origin_of_plan",
    "origin_of_qc",
    "origin_of_store",
    "require_aligned",
    "require_one_origin",
    "require_planned",
]

_FIX = "delete it and run the study again; it was made from something else"
_SHARED = {
    "sample": "sample",
    "input_sha256": "input sha256",
    "genes_sha256": "gene list",
    "qc_key": "QC",
    "asked": "subset, columns or metadata",
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
    # here, since the Snakefile asks admission, and that this module
    from aidocell.store import StoreReader

    for name, plan, *made in zip(samples, plans, *stores, strict=True):
        parts = {"the sample sheet": {"sample": name}, str(plan): origin_of_plan(plan)}
        for path in made:
            with StoreReader(path) as store:
                parts[str(path)] = origin_of_store(store.provenance)
        require_one_origin(parts)


def asked_of_alignment(
    subset: Mapping[str, Any], metadata: str | None, columns: Mapping[str, str]
) -> str:
    """A digest of what decides on aligned counts beside the file and its QC."""
    metadata_sha256 = None if metadata is None else sha256_file(metadata)
    return run_key(subset=dict(subset), metadata_sha256=metadata_sha256, columns=dict(columns))


def require_aligned(
    counts: str | Path,
    *,
    sample: str,
    qc_table: str | Path,
    subset: Mapping[str, Any],
    metadata: str | None,
    columns: Mapping[str, str],
) -> None:
    """Refuse counts of another sample or QC table, or made when something else was asked for.

    Parameters as in :func:`aidocell.stages.align.align_sample`.
    """
    from aidocell.store import StoreReader
    from aidocell.tables import about_table

    asked = asked_of_alignment(subset, metadata, columns)
    with StoreReader(counts) as store:
        found = origin_of_store(store.provenance)
    parts = {
        "the sample sheet": {"sample": sample, "asked": asked},
        str(qc_table): origin_of_qc(about_table(qc_table)),
        str(counts): found,
    }
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
    key = run_key(revision=REVISION["qc"], **made_from) if made_from else None
    return {
        **_named(made_from, "sample", "input_sha256"),
        "reading": made_from.get("options"),
        "qc_key": key,
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
        return {
            **shared,
            **_named(provenance, "qc_key", "asked"),
            "reading": provenance.get("options"),
        }
    return {**shared, **_named(origin_of_plan(provenance), "checkpoint", "options", "embed_key")}


def _named(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record.get(name) for name in names}

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from aidocell.errors import InputError
from aidocell.lineage import (
    origin_of_audit,
    origin_of_model,
    origin_of_plan,
    origin_of_qc,
    origin_of_store,
    require_aligned,
    require_one_origin,
    require_planned,
)
from aidocell.records import write_record
from aidocell.stages.admit import admit, admitted_samples
from aidocell.store import write_store
from aidocell.tables import write_table

OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
PLAN = {
    "run_key": "k" * 64,
    "model": {"sha256": "m"},
    "genes_sha256": "g",
    "counts_digest": "c",
    "options": OPTIONS,
}
EMBEDDED = {"stage": "embed", "sample": "a", "input_sha256": "i", **PLAN}
COUNTS = {
    "stage": "align",
    "sample": "a",
    "input_sha256": "i",
    "genes_sha256": "g",
    "counts_digest": "c",
    "options": {"layer": None},
}
AUDIT = {"accepted": True, "sample": "a", "sha256": "i", "genes_sha256": "g"}


def whole_sample(**changed):
    """Origins of a sample's files, some of them of other content."""
    content = {"model": {"sha256": "m", "genes_sha256": "g"}, "audit": AUDIT, "plan": PLAN}
    content |= {"counts": COUNTS, "embeddings": EMBEDDED}
    for name, difference in changed.items():
        content[name] = {**content[name], **difference}
    return {
        "the sample sheet": {"sample": "a"},
        "the config": {"options": OPTIONS},
        "model": origin_of_model(content["model"]),
        "audit": origin_of_audit(content["audit"]),
        "counts": origin_of_store(content["counts"]),
        "plan": origin_of_plan(content["plan"]),
        "embeddings": origin_of_store(content["embeddings"]),
    }


def test_files_that_were_made_from_one_another_belong_together():
    require_one_origin(whole_sample())


@pytest.mark.parametrize(
    ("name", "difference", "what"),
    [
        ("audit", {"sample": "b"}, "audit has sample b, expected a"),
        ("counts", {"sample": "b"}, "counts has sample b"),
        ("counts", {"input_sha256": "other"}, "counts has input sha256 other, expected i"),
        ("model", {"sha256": "other"}, "plan has checkpoint m, expected other"),
        ("model", {"genes_sha256": "other"}, "audit has gene list g, expected other"),
        ("plan", {"options": {**OPTIONS, "pooling": "max"}}, "plan has options"),
        ("plan", {"counts_digest": "other"}, "plan has counts digest other"),
        ("plan", {"run_key": "other"}, "embeddings has run key"),
        ("embeddings", {"sample": "b"}, "embeddings has sample b"),
        ("embeddings", {"counts_digest": "other"}, "embeddings has counts digest other"),
    ],
)
def test_a_file_that_was_made_from_something_else_is_named(name, difference, what):
    with pytest.raises(InputError) as refused:
        require_one_origin(whole_sample(**{name: difference}))
    assert refused.value.id == "E_STORE_MISMATCH"
    assert what in refused.value.what
    assert refused.value.fix.startswith("delete it and run the study again")


def test_what_a_file_does_not_say_is_not_compared():
    require_one_origin({"the sample sheet": {"sample": "a"}, "audit": origin_of_audit({})})
    assert not any(origin_of_qc({}).values())


def test_a_qc_table_is_known_by_all_that_it_was_made_from():
    made_from = {"sample": "a", "input_sha256": "i", "options": {}, "thresholds": {"min_genes": 5}}
    other = {**made_from, "thresholds": {"min_genes": 6}}
    first, again, stricter = (origin_of_qc({"made_from": m}) for m in (made_from, made_from, other))
    assert first == again
    assert first["qc_key"] != stricter["qc_key"]


def embeddings(path, provenance):
    cells = ad.AnnData(obs=pd.DataFrame(index=["x", "y"]), obsm={"X_aidocell": np.eye(2)})
    write_store(cells, path, provenance=provenance)
    return path


def test_embeddings_of_another_plan_or_sample_are_refused(tmp_path):
    plan, made = tmp_path / "shards.json", tmp_path / "e.zarr.zip"
    write_record(plan, PLAN)
    embeddings(made, EMBEDDED)
    require_planned(["a"], [plan], [made])
    with pytest.raises(
        InputError, match=r"E_STORE_MISMATCH.*e\.zarr\.zip has sample a, expected b"
    ):
        require_planned(["b"], [plan], [made])
    write_record(plan, {**PLAN, "run_key": "other"})
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*e\.zarr\.zip has run key"):
        require_planned(["a"], [plan], [made])


def test_counts_that_something_else_was_asked_for_are_refused(tmp_path):
    table, counts = tmp_path / "qc.parquet", tmp_path / "counts.zarr.zip"
    made_from = {"sample": "a", "input_sha256": "i", "options": {"layer": None}}
    write_table(pd.DataFrame({"cell": ["x"]}), table, about={"made_from": made_from})
    embeddings(counts, COUNTS)
    asked = {"qc_table": table, "subset": {}, "metadata": None, "columns": {"batch": "x"}}
    require_aligned(counts, sample="a", **asked)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*sample a, expected b"):
        require_aligned(counts, sample="b", **asked)
    embeddings_of = {**COUNTS, "asked": "older"}
    counts.unlink()
    embeddings(counts, embeddings_of)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*has subset, columns or metadata"):
        require_aligned(counts, sample="a", **asked)


# ---------------------------------------------------------------- admission


@pytest.fixture
def audits(tmp_path):
    paths = {name: tmp_path / f"{name}.json" for name in ("a", "b")}
    write_record(paths["a"], {"accepted": True, "sample": "a", "cells": 3})
    reason = {"id": "E_NO_CELLS", "what": "none", "fix": "give some"}
    write_record(paths["b"], {"accepted": False, "sample": "b", "error": reason})
    return paths


def test_the_audit_of_another_sample_admits_nothing(audits, tmp_path):
    swapped = {"a": audits["b"], "b": audits["a"]}
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*b\.json has sample b, expected a"):
        admit(swapped, tmp_path / "admission.tsv", on_bad_sample="skip")
    assert not (tmp_path / "admission.tsv").exists()


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        ("b\tno", "b\tyes"),
        ("b\tno", "b\tnp"),
        ("a\tyes", "c\tyes"),
        ("accepted", "accepte"),
        ("b\tno\t\tE_NO_CELLS\tnone\tgive some\n", ""),
    ],
)
def test_a_table_that_says_something_else_than_the_audits_admits_nothing(
    audits, tmp_path, found, changed
):
    table = tmp_path / "admission.tsv"
    admit(audits, table, on_bad_sample="skip")
    assert admitted_samples(table, audits) == ["a"]
    text = table.read_text()
    assert found in text
    other = tmp_path / "changed.tsv"
    other.write_text(text.replace(found, changed))
    with pytest.raises(InputError, match="E_STORE_DAMAGED"):
        admitted_samples(other, audits)

"""The stages of the workflow one after another, without Snakemake."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small import ROOT, TINY, make_cells

from aidocell.config import check_config
from aidocell.counts import InputOptions
from aidocell.errors import InputError
from aidocell.gathering import gather
from aidocell.model import load_model
from aidocell.sharding import embed_shard
from aidocell.stages.admit import admit, admitted_samples
from aidocell.stages.align import align_sample
from aidocell.stages.annotate import annotate_study
from aidocell.stages.check import check_sample
from aidocell.stages.model import describe_model
from aidocell.stages.plan import plan_sample
from aidocell.stages.qc import qc_sample
from aidocell.stages.shards import shard_paths
from aidocell.store import read_store

SCHEMA = ROOT / "workflow/schemas/config.schema.json"
CONFIG = check_config(
    {
        "samples": "s.tsv",
        "model": str(TINY),
        "qc": {"min_genes": 50},
        "embed": {"shard_cells": 15},
        "annotate": {"label": "cell_type", "methods": ["logistic", "majority"], "folds": 3},
    },
    SCHEMA,
)
WHOLE = {"cells": None, "balance": None, "seed": 0}


def check_and_qc(folder: Path, cells: Path, *, thresholds=CONFIG["qc"]) -> None:
    check_sample(str(cells), InputOptions(), folder / "audit.json", model=str(TINY), min_share=0.5)
    qc_sample(
        str(cells),
        InputOptions(),
        folder / "qc.parquet",
        audit=folder / "audit.json",
        thresholds=thresholds,
        model=str(TINY),
    )


def align(folder: Path, cells: Path, *, subset=WHOLE, metadata=None, columns=None, options=None):
    align_sample(
        str(cells),
        options or InputOptions(),
        folder / "counts.zarr.zip",
        audit=folder / "audit.json",
        qc_table=folder / "qc.parquet",
        model=str(TINY),
        min_share=0.5,
        subset=subset,
        metadata=metadata,
        columns=columns or {},
    )
    return read_store(folder / "counts.zarr.zip")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two samples, taken through all stages."""
    folder = tmp_path_factory.mktemp("study")
    describe_model(str(TINY), folder / "model.json", revision=None, accept_license=False)
    for seed, name in enumerate(("one", "two")):
        place = folder / "samples" / name
        place.mkdir(parents=True)
        make_cells(40, seed=seed).write_h5ad(place / "cells.h5ad")
        check_and_qc(place, place / "cells.h5ad")
        align(place, place / "cells.h5ad", columns={"batch": name})
        plan = place / "shards.json"
        plan_sample(place / "counts.zarr.zip", folder / "model.json", plan, embed=CONFIG["embed"])
        for shard in map(Path, shard_paths(plan)):
            rows = shard.name.removesuffix(".zarr.zip")
            embed_shard(place / "counts.zarr.zip", plan, rows, shard, model=str(TINY))
        gather(place / "counts.zarr.zip", plan, shard_paths(plan), place / "embeddings.zarr.zip")
    return folder


def test_the_record_of_the_model_is_what_loading_it_says(study):
    record = json.loads((study / "model.json").read_text())
    info = load_model(str(TINY)).checkpoint
    assert (record["id"], record["sha256"]) == (info.id, info.sha256)
    assert record["genes_sha256"] == info.genes_sha256


def test_shards_lie_beside_their_plan_by_key_and_rows(study):
    place = study / "samples" / "one"
    plan = json.loads((place / "shards.json").read_text())
    assert plan["shards"] == [[0, 15], [15, 30], [30, 40]]
    assert shard_paths(place / "shards.json") == [
        f"{place}/shards/{plan['key']}/{rows}.zarr.zip" for rows in ("0-15", "15-30", "30-40")
    ]


def test_kept_cells_arrive_with_their_columns_and_those_of_the_sheet(study):
    embedded = read_store(study / "samples/two/embeddings.zarr.zip")
    assert embedded.obs_names.tolist() == [f"cell{i}" for i in range(40)]
    assert embedded.obs["batch"].unique().tolist() == ["two"]
    assert embedded.obs["cell_type"].tolist() == make_cells(40, seed=1).obs["cell_type"].tolist()


def test_equal_barcodes_of_two_samples_stay_apart_in_the_study(study, tmp_path):
    places = [study / "samples" / name for name in ("one", "two")]
    annotate_study(
        tmp_path / "annotate",
        samples=["one", "two"],
        embeddings=[str(p / "embeddings.zarr.zip") for p in places],
        counts=[str(p / "counts.zarr.zip") for p in places],
        options=CONFIG["annotate"],
    )
    predictions = pd.read_parquet(tmp_path / "annotate/predictions.parquet")
    assert predictions["cell"].nunique() == 80
    assert {name.split(":")[0] for name in predictions["cell"]} == {"one", "two"}
    metrics = pd.read_csv(tmp_path / "annotate/metrics.tsv", sep="\t")
    assert set(metrics["method"]) == {"logistic", "majority"}
    assert (tmp_path / "annotate/classifier/classifier.json").is_file()


def test_annotating_again_gives_the_same_bytes(study, tmp_path):
    places = [study / "samples" / name for name in ("one", "two")]
    options = {
        "samples": ["one", "two"],
        "embeddings": [str(p / "embeddings.zarr.zip") for p in places],
        "counts": [str(p / "counts.zarr.zip") for p in places],
        "options": CONFIG["annotate"],
    }
    content = []
    for _ in range(2):
        annotate_study(tmp_path / "annotate", **options)
        files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
        content.append({p: p.read_bytes() for p in files})
    assert content[0] == content[1]


def test_qc_that_keeps_the_same_cells_gives_the_same_counts_and_plan(study, tmp_path):
    cells = study / "samples/one/cells.h5ad"
    check_and_qc(tmp_path, cells, thresholds={**CONFIG["qc"], "min_genes": 40})
    align(tmp_path, cells, columns={"batch": "one"})
    plan_sample(
        tmp_path / "counts.zarr.zip",
        study / "model.json",
        tmp_path / "shards.json",
        embed=CONFIG["embed"],
    )
    assert (tmp_path / "shards.json").read_bytes() == (
        study / "samples/one/shards.json"
    ).read_bytes()


@pytest.fixture
def checked(tmp_path):
    """One sample after check and QC."""
    make_cells(40).write_h5ad(tmp_path / "cells.h5ad")
    check_and_qc(tmp_path, tmp_path / "cells.h5ad")
    return SimpleNamespace(folder=tmp_path, cells=tmp_path / "cells.h5ad")


def test_only_cells_that_qc_keeps_are_aligned(checked):
    table = pd.read_parquet(checked.folder / "qc.parquet")
    limit = int(table["n_genes_by_counts"].median())
    check_and_qc(checked.folder, checked.cells, thresholds={"min_genes": limit})
    table = pd.read_parquet(checked.folder / "qc.parquet")
    assert 0 < table["kept"].sum() < 40
    assert (
        align(checked.folder, checked.cells).obs_names.tolist()
        == table.loc[table["kept"], "cell"].tolist()
    )


def test_a_subset_is_balanced_over_a_column_of_the_file(checked):
    subset = {"cells": 10, "balance": "cell_type", "seed": 3}
    aligned = align(checked.folder, checked.cells, subset=subset)
    assert aligned.obs["cell_type"].value_counts().tolist() == [5, 5]
    again = align(checked.folder, checked.cells, subset=subset)
    assert again.obs_names.tolist() == aligned.obs_names.tolist()


def test_a_subset_is_balanced_over_metadata_which_win_over_the_file(checked):
    names = [f"cell{i}" for i in range(40)]
    labels = ["rare" if i < 4 else "common" for i in range(40)]
    path = checked.folder / "labels.tsv"
    pd.DataFrame({"cell": names, "cell_type": labels}).to_csv(path, sep="\t", index=False)
    aligned = align(
        checked.folder,
        checked.cells,
        subset={"cells": 10, "balance": "cell_type", "seed": 0},
        metadata=str(path),
    )
    assert aligned.obs["cell_type"].value_counts().to_dict() == {"common": 6, "rare": 4}


def test_a_subset_over_a_missing_column_is_refused(checked):
    with pytest.raises(InputError, match=r"E_LABEL_MISSING.*'type' \(columns: cell_type, donor\)"):
        align(checked.folder, checked.cells, subset={"cells": 5, "balance": "type", "seed": 0})
    assert not (checked.folder / "counts.zarr.zip").exists()


def test_an_input_replaced_after_its_check_or_its_qc_is_refused(checked):
    make_cells(40, seed=9).write_h5ad(checked.cells)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*audit\.json.*delete"):
        align(checked.folder, checked.cells)
    check_sample(
        str(checked.cells),
        InputOptions(),
        checked.folder / "audit.json",
        model=str(TINY),
        min_share=0.5,
    )
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*qc\.parquet.*delete it"):
        align(checked.folder, checked.cells)
    assert not (checked.folder / "counts.zarr.zip").exists()


# ---------------------------------------------------------------- admission


def refused_audit(folder: Path, name: str, content: str = "") -> Path:
    """The audit of a file that is refused."""
    path = folder / name
    if content:
        path.write_text(content)
    audit = folder / f"{path.stem}.json"
    check_sample(str(path), InputOptions(), audit, model=str(TINY), min_share=0.5)
    return audit


def test_a_refused_sample_s_audit_says_why_and_the_stage_goes_on(tmp_path, caplog):
    audit = json.loads(refused_audit(tmp_path, "no.h5ad").read_text())
    assert audit["accepted"] is False
    assert audit["path"] == str(tmp_path / "no.h5ad")
    assert set(audit["error"]) == {"id", "what", "fix"}
    assert audit["error"]["id"] == "E_FILE_MISSING"
    assert "refused: error[E_FILE_MISSING]" in caplog.text


@pytest.fixture
def audits(checked):
    good = checked.folder / "audit.json"
    return {
        "good": good,
        "missing": refused_audit(checked.folder, "no.h5ad"),
        "NA": good,
        "text": refused_audit(checked.folder, "text.h5ad", "no matrix"),
    }


def test_one_bad_sample_stops_the_study_after_all_bad_ones_are_listed(audits, tmp_path, caplog):
    table = tmp_path / "admission.tsv"
    with pytest.raises(
        InputError,
        match=r"E_FILE_MISSING.*2 of 4 samples are refused, first missing: .*on_bad_sample: skip",
    ):
        admit(audits, table, on_bad_sample="stop")
    refusals = [m for m in caplog.messages if m.startswith("sample ")]
    assert [m.split()[1] for m in refusals] == ["missing", "text"]
    assert not table.exists()


def test_skipping_goes_on_with_the_others_and_keeps_the_reasons(audits, tmp_path):
    table = tmp_path / "admission.tsv"
    admit(audits, table, on_bad_sample="skip")
    assert admitted_samples(table) == ["good", "NA"]
    rows = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    assert rows.columns.tolist() == ["sample", "accepted", "cells", "error", "what", "fix"]
    assert rows["accepted"].tolist() == ["yes", "no", "yes", "no"]
    assert rows["cells"].tolist()[0] == "40"
    assert rows["error"].tolist() == ["", "E_FILE_MISSING", "", "E_FILE_FORMAT"]


@pytest.mark.parametrize("choice", ["stop", "skip"])
def test_a_study_without_a_good_sample_ends_and_skipping_is_not_offered(audits, tmp_path, choice):
    bad = {name: audits[name] for name in ("missing", "text")}
    with pytest.raises(InputError, match="2 of 2 samples are refused") as refused:
        admit(bad, tmp_path / "admission.tsv", on_bad_sample=choice)
    assert "skip" not in refused.value.fix


def test_all_good_samples_are_admitted_in_the_order_of_the_sheet(audits, tmp_path):
    table = tmp_path / "admission.tsv"
    admit({"NA": audits["NA"], "good": audits["good"]}, table, on_bad_sample="stop")
    assert admitted_samples(table) == ["NA", "good"]


@pytest.mark.parametrize("name", ["new\nline", "tab\tin", 'quo"te', "per%cent", "{brace}", "=1+1"])
def test_a_path_of_any_kind_makes_one_row_of_the_table(audits, tmp_path, name, caplog):
    odd = refused_audit(tmp_path, f"{name}.h5ad")
    table = tmp_path / "admission.tsv"
    admit({"good": audits["good"], "odd": odd}, table, on_bad_sample="skip")
    assert len(table.read_text().splitlines()) == 3
    assert admitted_samples(table) == ["good"]
    assert any(name[:3] in m for m in caplog.messages if m.startswith("sample odd"))


def test_a_spreadsheet_runs_nothing_of_the_table(audits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_sample("=1+1.h5ad", InputOptions(), "odd.json", model=str(TINY), min_share=0.5)
    admit({"good": audits["good"], "odd": "odd.json"}, "admission.tsv", on_bad_sample="skip")
    fields = Path("admission.tsv").read_text().replace("\n", "\t").split("\t")
    assert not [field for field in fields if field.startswith(("=", "+", "-", "@"))]
    assert any(field.startswith("'=1+1.h5ad") for field in fields)


def test_the_snakefile_s_questions_import_nothing_heavy(tmp_path):
    code = """
import sys
import aidocell.stages.admit, aidocell.stages.shards, aidocell.files, aidocell.errors
heavy = {"torch", "anndata", "pandas", "numpy", "scipy", "zarr"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_progress_of_a_stage_is_logged(checked, caplog):
    with caplog.at_level(logging.INFO, logger="aidocell"):
        align(checked.folder, checked.cells, subset={"cells": 7, "balance": None, "seed": 0})
    assert "drawing 7 of 40 kept cells" in caplog.messages


def test_vectors_of_the_stages_are_those_of_the_python_functions(study):
    import aidocell

    cells = aidocell.read_counts(study / "samples/one/cells.h5ad")
    model = load_model(str(TINY))
    expected = aidocell.embed(model, aidocell.align(cells, genes=model.genes))
    found = read_store(study / "samples/one/embeddings.zarr.zip").obsm["X_aidocell"]
    assert np.array_equal(found, expected)


def test_a_misspelt_label_stops_the_study_before_anything_is_computed(cells_file, tmp_path):
    audit = tmp_path / "audit.json"
    check_sample(
        str(cells_file),
        InputOptions(),
        audit,
        model=str(TINY),
        min_share=0.5,
        columns={"batch": "x"},
    )
    assert json.loads(audit.read_text())["columns"] == ["batch", "cell_type", "donor"]
    table = tmp_path / "admission.tsv"
    good = {"annotate.label": "cell_type", "annotate.group": "batch"}
    admit({"a": audit}, table, on_bad_sample="stop", columns=good)
    with pytest.raises(
        InputError, match=r"E_LABEL_MISSING.*annotate.label is 'cell_typ'.*cell_type"
    ):
        admit({"a": audit}, table, on_bad_sample="skip", columns={"annotate.label": "cell_typ"})


def test_a_sample_without_the_column_to_balance_over_is_refused(cells_file, tmp_path):
    audit = tmp_path / "audit.json"
    check_sample(
        str(cells_file), InputOptions(), audit, model=str(TINY), min_share=0.5, balance="tissue"
    )
    refusal = json.loads(audit.read_text())
    assert not refusal["accepted"]
    assert refusal["error"]["id"] == "E_LABEL_MISSING"
    assert "subset.balance is 'tissue'" in refusal["error"]["what"]

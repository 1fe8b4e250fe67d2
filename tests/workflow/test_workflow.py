"""The workflow by the real Snakemake: what it makes, and what it makes again."""

import os
import signal
import subprocess
import sys
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import aidocell
from aidocell.manifest import find_damage
from aidocell.store import read_store

pytestmark = pytest.mark.workflow
SHARDS = "samples/*/shards/*/*.zarr.zip"


def test_the_default_config_is_the_demo_and_plans_from_a_fresh_clone(root, tmp_path):
    command = ["git", "clone", "--quiet", str(root), str(tmp_path / "clone")]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run"],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout


def test_a_finished_study_has_every_output_whole_and_nothing_to_do(finished_study):
    results = finished_study.results
    assert (results / "report/report.html").stat().st_size > 10_000
    assert {p.name for p in (results / "report/samples").glob("*.html")} == {"a.html", "b.html"}
    assert find_damage(results) == []
    metrics = pd.read_csv(results / "study/annotate/metrics.tsv", sep="\t")
    assert set(metrics["method"]) == {"logistic", "genes-logistic", "majority"}
    predictions = pd.read_parquet(results / "study/annotate/predictions.parquet")
    assert predictions["cell"].str.match(r"^[ab]:cell\d+$").all()
    assert finished_study.jobs() == set()


def test_a_samples_embeddings_equal_the_python_functions(finished_study, tiny_checkpoint):
    made = read_store(finished_study.results / "samples/a/embeddings.zarr.zip")
    model = aidocell.load_model(tiny_checkpoint)
    aligned = aidocell.align(
        aidocell.read_counts(finished_study.folder / "a.h5ad"), genes=model.genes
    )
    by_hand = aidocell.embed(model, aligned, precision="float32")
    assert made.obs_names.tolist() == aligned.obs_names.tolist()
    assert np.array_equal(made.obsm["X_aidocell"], by_hand)
    assert (made.obs["batch"] == "x").all()


def test_a_threshold_that_keeps_the_same_cells_embeds_nothing_anew(study_copy):
    before = study_copy.times(SHARDS)
    study_copy.configure(qc={"min_genes": 6})
    assert {"qc", "align"} <= study_copy.jobs()
    study_copy.snakemake()
    assert study_copy.times(SHARDS) == before
    assert study_copy.jobs() == set()


@pytest.mark.parametrize(
    "name",
    [
        "samples/a/qc.parquet",
        "samples/a/counts.zarr.zip",
        "samples/b/embeddings.zarr.zip",
        "study/annotate/per_class.tsv",
        "report/samples.tsv",
    ],
)
def test_a_deleted_output_is_made_again(study_copy, name):
    (study_copy.results / name).unlink()
    assert study_copy.jobs() - {"all"}


def test_what_verify_advises_mends_a_damaged_output(study_copy):
    before = study_copy.times(SHARDS)
    damaged = study_copy.results / "samples/a/embeddings.zarr.zip"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (error,) = find_damage(study_copy.results)
    assert error.fix == "delete it and run the study again"
    damaged.unlink()
    study_copy.snakemake()
    assert find_damage(study_copy.results) == []
    assert study_copy.times(SHARDS) == before


def test_an_added_sample_is_computed_alone(study_copy):
    before = study_copy.times("samples/[ab]/**/*.zarr.zip")
    study_copy.add_sample("c", seed=3)
    study_copy.list_samples(
        "a\ta.h5ad\tx", "b\tb.h5ad\ty", "c\tc.h5ad\tz", header="sample\tpath\tbatch"
    )
    study_copy.snakemake("embeddings_only")
    assert study_copy.times("samples/[ab]/**/*.zarr.zip") == before
    assert (study_copy.results / "samples/c/embeddings.zarr.zip").exists()


def test_a_touched_input_embeds_nothing_and_an_older_one_is_noticed(study_copy, tiny_checkpoint):
    before = study_copy.times(SHARDS)
    (study_copy.folder / "a.h5ad").touch()
    study_copy.snakemake("embeddings_only")
    assert study_copy.times(SHARDS) == before
    other = study_copy.add_sample("a", seed=9)
    os.utime(other, (1e9, 1e9))
    study_copy.snakemake("embeddings_only")
    after = study_copy.times(SHARDS)
    assert set(before) < set(after)
    assert all(after[path] == before[path] for path in before)
    made = read_store(study_copy.results / "samples/a/embeddings.zarr.zip")
    model = aidocell.load_model(tiny_checkpoint)
    aligned = aidocell.align(aidocell.read_counts(other), genes=model.genes)
    assert np.array_equal(made.obsm["X_aidocell"], aidocell.embed(model, aligned))


def test_another_pooling_has_its_own_shards_and_going_back_computes_nothing(study_copy):
    before = study_copy.times(SHARDS)
    study_copy.configure(embed={"shard_cells": 25, "pooling": "max"})
    study_copy.snakemake("embeddings_only")
    both = study_copy.times(SHARDS)
    assert len(both) == 2 * len(before)
    study_copy.configure()
    assert "embed_shard" not in study_copy.jobs("embeddings_only")
    study_copy.snakemake("embeddings_only")
    assert study_copy.times(SHARDS) == both
    options = read_store(study_copy.results / "samples/a/embeddings.zarr.zip").uns["aidocell"][
        "options"
    ]
    assert options["pooling"] == "mean"


def bad_study(study):
    study.add_sample("good")
    normalised = ad.read_h5ad(study.add_sample("normalised"))
    normalised.X = np.log1p(normalised.X.toarray() * 1.7)
    normalised.write_h5ad(study.folder / "normalised.h5ad")
    study.list_samples("good\tgood.h5ad", "normalised\tnormalised.h5ad", "missing\tmissing.h5ad")


def test_all_bad_samples_are_named_before_anything_is_computed(study):
    bad_study(study)
    done = study.snakemake(check=False)
    assert done.returncode != 0
    assert "sample normalised is refused: E_NOT_COUNTS" in done.stderr
    assert "sample missing is refused: E_FILE_MISSING" in done.stderr
    assert study.times("samples/*/*.zarr.zip") == {}


def test_with_skip_the_good_samples_go_on_and_the_report_says_so(study):
    bad_study(study)
    study.configure(on_bad_sample="skip")
    study.snakemake()
    assert (study.results / "samples/good/embeddings.zarr.zip").exists()
    page = (study.results / "report/report.html").read_text()
    assert "E_NOT_COUNTS" in page
    assert "E_FILE_MISSING" in page


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"embed": {"poolin": "mean"}},
            "error[E_CONFIG]: unknown key 'embed.poolin'; write 'pooling'",
        ),
        ({"samples": "nowhere.tsv"}, "error[E_SHEET]"),
    ],
)
def test_a_wrong_config_is_one_line_and_status_2(study, change, error):
    study.add_sample("a")
    study.list_samples("a\ta.h5ad")
    study.configure(**change)
    done = study.snakemake("--dry-run", check=False)
    assert done.returncode == 2
    assert error in done.stderr.strip().splitlines()[-1]


def test_partial_targets_stop_where_they_say(study):
    study.add_sample("a")
    study.list_samples("a\ta.h5ad")
    study.snakemake("qc_only")
    assert (study.results / "samples/a/qc.parquet").exists()
    assert study.times("samples/*/*.zarr.zip") == {}
    assert study.jobs("check_only") == set()


@pytest.mark.parametrize("on_bad_sample", ["stop", "skip"])
def test_a_killed_run_goes_on_from_the_shards_that_exist(study, finished_study, on_bad_sample):
    for name, seed in (("a", 1), ("b", 2)):
        study.add_sample(name, seed=seed)
    study.list_samples("a\ta.h5ad\tx", "b\tb.h5ad\ty", header="sample\tpath\tbatch")
    study.configure(on_bad_sample=on_bad_sample)
    process = subprocess.Popen(
        study.command("embeddings_only"),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not study.times(SHARDS) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = study.times(SHARDS)
    assert finished
    recover = [sys.executable, "-m", "aidocell", "recover"]
    subprocess.run(recover, cwd=study.folder, check=True)
    study.snakemake("embeddings_only")
    now = study.times(SHARDS)
    assert all(now[path] == finished[path] for path in finished)
    for name in ("a", "b"):
        relative = f"samples/{name}/embeddings.zarr.zip"
        expected = (finished_study.results / relative).read_bytes()
        assert (study.results / relative).read_bytes() == expected

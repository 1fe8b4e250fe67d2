"""Whatever changes, also with an older time stamp or before a kill: nothing old ends up in a new result."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small import TINY

import aidocell
from aidocell.model import load_model, save_checkpoint
from aidocell.store import read_store

pytestmark = [pytest.mark.workflow, pytest.mark.long]
SHARDS = "samples/*/shards/*/*.zarr.zip"
EMBEDDINGS = "embeddings_only"


def other_checkpoint(folder: Path) -> Path:
    """The tiny checkpoint with other weights, and an older time than any output."""
    model = load_model(TINY)
    with torch.no_grad():
        model.bert.position_embedding.weight += 0.5
    save_checkpoint(folder, model)
    shutil.copy(TINY / "genes.tsv", folder)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


def require_made_from(study, name: str, checkpoint: Path, **options: str) -> None:
    """What was gathered has to be what the Python functions give for the input that is there now."""
    model = load_model(checkpoint)
    aligned = aidocell.align(aidocell.read_counts(study.folder / f"{name}.h5ad"), genes=model.genes)
    made = read_store(study.results / f"samples/{name}/embeddings.zarr.zip")
    np.testing.assert_array_equal(
        made.obsm["X_aidocell"], aidocell.embed(model, aligned, **options)
    )
    assert made.uns["aidocell"]["model"]["sha256"] == model.checkpoint.sha256


def kill_when(study, happened) -> None:
    """Run, and kill everything by SIGKILL once `happened`; then the documented restart's first half."""
    process = subprocess.Popen(
        study.command(EMBEDDINGS),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not happened() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, "-m", "aidocell", "recover"], cwd=study.folder, check=True)


def test_another_checkpoint_in_the_same_folder_is_noticed_and_a_touched_one_is_not(study_copy):
    folder = study_copy.folder / "checkpoint"
    shutil.copytree(TINY, folder)
    study_copy.configure(model="checkpoint")
    study_copy.snakemake(EMBEDDINGS)
    before = study_copy.times(SHARDS)
    for path in folder.iterdir():
        path.touch()
    study_copy.snakemake(EMBEDDINGS)
    assert study_copy.times(SHARDS) == before
    shutil.rmtree(folder)
    other_checkpoint(folder)
    study_copy.snakemake(EMBEDDINGS)
    assert len(study_copy.times(SHARDS)) == 2 * len(before)
    for name in ("a", "b"):
        require_made_from(study_copy, name, folder)


def test_a_plan_put_back_never_brings_its_shards_into_a_new_result(study_copy):
    plan = study_copy.results / "samples/a/shards.json"
    old = plan.read_bytes()
    study_copy.configure(model=str(other_checkpoint(study_copy.folder / "other")))
    study_copy.snakemake(EMBEDDINGS)
    plan.write_bytes(old)
    (study_copy.results / "samples/a/embeddings.zarr.zip").unlink()
    refused = study_copy.snakemake(EMBEDDINGS, check=False)
    assert refused.returncode != 0
    assert "error[E_STORE_MISMATCH]: results/samples/a/shards.json has checkpoint" in refused.stderr
    plan.unlink()  # as the error says
    study_copy.snakemake(EMBEDDINGS)
    for name in ("a", "b"):
        require_made_from(study_copy, name, study_copy.folder / "other")


@pytest.mark.parametrize("stage", ["audit.json", "qc.parquet", "counts.zarr.zip", "shards.json"])
def test_an_input_changed_before_a_kill_leaves_nothing_of_the_old_one(study_copy, stage):
    made = study_copy.results / "samples/a" / stage
    before = made.stat().st_ino
    changed = study_copy.add_sample("a", seed=9)
    os.utime(changed, (1e9, 1e9))
    kill_when(study_copy, lambda: made.exists() and made.stat().st_ino != before)
    study_copy.snakemake(EMBEDDINGS)
    for name in ("a", "b"):
        require_made_from(study_copy, name, TINY)


def test_an_input_changed_twice_around_a_kill_is_the_last_one(study_copy):
    first, second = study_copy.folder / "first.h5ad", study_copy.folder / "a.h5ad"
    shutil.copy2(second, first)
    study_copy.add_sample("a", seed=9)
    counts = study_copy.results / "samples/a/counts.zarr.zip"
    before = counts.stat().st_ino
    kill_when(study_copy, lambda: counts.exists() and counts.stat().st_ino != before)
    shutil.copy2(first, second)
    study_copy.snakemake(EMBEDDINGS)
    require_made_from(study_copy, "a", TINY)


def test_another_precision_has_its_own_shards_and_going_back_computes_nothing(study_copy):
    before = study_copy.times(SHARDS)
    study_copy.configure(embed={"shard_cells": 25, "precision": "bfloat16"})
    study_copy.snakemake(EMBEDDINGS)
    both = study_copy.times(SHARDS)
    assert len(both) == 2 * len(before)
    require_made_from(study_copy, "a", TINY, precision="bfloat16")
    study_copy.configure()
    study_copy.snakemake(EMBEDDINGS)
    assert study_copy.times(SHARDS) == both
    require_made_from(study_copy, "a", TINY)


def test_labels_joined_later_reach_the_result_and_embed_nothing(study_copy):
    before = study_copy.times(SHARDS)
    cells = read_store(study_copy.results / "samples/a/embeddings.zarr.zip").obs_names
    lines = [f"{cell}\tlater{i % 2}" for i, cell in enumerate(cells)]
    table = study_copy.folder / "labels.tsv"
    table.write_text("\n".join(["barcode\tlabel", *lines]) + "\n")
    study_copy.list_samples(
        "a\ta.h5ad\tx\tlabels.tsv", "b\tb.h5ad\ty\t", header="sample\tpath\tbatch\tmetadata"
    )
    study_copy.snakemake(EMBEDDINGS)
    assert study_copy.times(SHARDS) == before
    made = read_store(study_copy.results / "samples/a/embeddings.zarr.zip")
    assert made.obs["label"].astype(str).tolist() == [f"later{i % 2}" for i in range(len(cells))]
    require_made_from(study_copy, "a", TINY)

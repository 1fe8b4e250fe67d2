"""Check, QC and alignment read by chunks: the same results, in memory that hardly grows."""

import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from small import TINY, make_cells

from aidocell.counts import InputOptions, source
from aidocell.stages.align import align_sample
from aidocell.stages.check import check_sample
from aidocell.stages.qc import qc_sample

STAGES = ("check", "qc", "align")
OUTPUTS = ("audit.json", "qc.parquet", "counts.zarr.zip")
MODULES = ("texts", "countstore", "counts.celltable", "counts.metadata", "counts.metrics")
LIMITS = {"min_genes": 60, "mads": 3}
MOST = 400  # bytes a cell; names alone take 80 as Python strings, and an index of them 100 more


def run(stage: str, folder: Path) -> None:
    cells, options = str(folder / "cells.h5ad"), InputOptions()
    audit, table = folder / "audit.json", folder / "qc.parquet"
    if stage == "check":
        check_sample(cells, options, audit, model=str(TINY), min_share=0.5)
    elif stage == "qc":
        qc_sample(cells, options, table, audit=audit, thresholds=LIMITS, model=str(TINY))
    else:
        align_sample(
            cells,
            options,
            folder / "counts.zarr.zip",
            audit=audit,
            qc_table=table,
            thresholds=LIMITS,
            model=str(TINY),
            min_share=0.5,
            subset={"cells": None, "balance": None, "seed": 0},
            metadata=str(folder / "labels.tsv"),
            columns={"batch": "b"},
        )


def make_sample(folder: Path, number: int) -> Path:
    folder.mkdir()
    cells = make_cells(number)
    cells.write_h5ad(folder / "cells.h5ad")
    labels = pd.DataFrame({"label": "some"}, index=cells.obs_names[::2])
    labels.to_csv(folder / "labels.tsv", sep="\t", index_label="cell")
    return folder


def small_steps(patch: pytest.MonkeyPatch, size: int) -> None:
    patch.setattr(source.CountSource.chunks, "__defaults__", (size,))
    for module in (*MODULES, "counts.qctable"):
        patch.setattr(f"aidocell.{module}.BLOCK", size)


def test_cells_read_in_small_steps_give_the_results_of_all_at_once(tmp_path, monkeypatch):
    whole, parts = (make_sample(tmp_path / name, 1500) for name in ("whole", "parts"))
    for stage in STAGES:
        run(stage, whole)
    with monkeypatch.context() as patch:
        small_steps(patch, 97)
        for stage in STAGES:
            run(stage, parts)
    tables = [pd.read_parquet(folder / "qc.parquet") for folder in (whole, parts)]
    pd.testing.assert_frame_equal(*tables)
    assert 0 < tables[0]["kept"].sum() < 1500
    audits = [(folder / "audit.json").read_text() for folder in (whole, parts)]
    assert '"cells": 1500' in audits[0]
    one, two = ((folder / "counts.zarr.zip").read_bytes() for folder in (whole, parts))
    assert one == two


def test_memory_hardly_grows_with_the_cells(tmp_path, monkeypatch):
    small_steps(monkeypatch, 256)
    numbers = (1000, 11_000)
    folders = [make_sample(tmp_path / str(number), number) for number in numbers]
    run("check", make_sample(tmp_path / "first", 300))  # what is loaded once is no cell's
    for stage in STAGES:
        few, many = (peak(stage, folder) for folder in folders)
        assert (many - few) / (numbers[1] - numbers[0]) < MOST, stage


def peak(stage: str, folder: Path) -> int:
    tracemalloc.start()
    try:
        run(stage, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

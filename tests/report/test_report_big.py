"""The report of many cells holds few of them in memory."""

import tracemalloc
from dataclasses import fields

import anndata as ad
import make_results as mr
import numpy as np
import pandas as pd
import pyarrow as pa

from aidocell.records import write_record
from aidocell.report import load_study
from aidocell.report.columns import Columns
from aidocell.report.qcsummary import summarise
from aidocell.seal import read_seal
from aidocell.store import write_store
from aidocell.tables import new_table, write_table

SAMPLE = "pbmc_a"


def write_qc(path, table, rows):
    schema = pa.Schema.from_pandas(table, preserve_index=False).remove_metadata()
    with new_table(path, schema, about={"bounds": table.attrs["bounds"]}) as writer:
        for start in range(0, len(table), rows):
            part = pa.Table.from_pandas(table[start : start + rows], schema, preserve_index=False)
            writer.write_table(part)


def results_of(folder, cells, *, on_map=100, rows=500):
    """One sample with a map of few of its cells, as the stages leave them."""
    home, rng = folder / "samples" / SAMPLE, np.random.default_rng(0)
    names = pd.Index([f"cell{i}-1" for i in range(cells)])
    obs = pd.DataFrame({"batch": [f"run {i % 3}" for i in range(cells)], "age": 3}, index=names)
    vectors = ad.AnnData(obs=obs, obsm={"X_aidocell": rng.normal(size=(cells, 2)).astype("f4")})
    write_store(vectors, home / "embeddings.zarr.zip", provenance=mr.provenance(SAMPLE))
    write_qc(home / "qc.parquet", mr.qc_table(names, rng), rows)
    write_record(home / "audit.json", mr.audit(SAMPLE, measured=18_000))
    write_record(home / "shards.json", mr.plan(SAMPLE, cells))
    drawn = np.sort(rng.choice(cells, on_map, replace=False))
    places = {"cell": f"{SAMPLE}:" + names[drawn], "sample": SAMPLE, "x": 0.0, "y": 1.0}
    seals = {SAMPLE: read_seal(home / "embeddings.zarr.zip")}
    about = {"cells": cells, "method": "umap", "embeddings": seals}
    write_table(pd.DataFrame(places), folder / "study" / "map.parquet", about=about)
    return folder


def load(results):
    return load_study(results, [{"sample": SAMPLE}], config=mr.CONFIG)


def test_a_summary_by_columns_is_that_of_the_whole_table(tmp_path, monkeypatch):
    table = mr.qc_table(pd.RangeIndex(1000).astype(str), np.random.default_rng(0))
    write_qc(tmp_path / "qc.parquet", table, rows=300)
    monkeypatch.setattr("aidocell.report.qcsummary.RANGE", 70)
    found = summarise(Columns(tmp_path / "qc.parquet"))
    monkeypatch.undo()
    expected = summarise(table)
    for field in fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "histograms":
            assert one.keys() == other.keys()
            for metric in one:
                assert np.array_equal(one[metric].kept, other[metric].kept)
                assert np.array_equal(one[metric].left_out, other[metric].left_out)
        elif isinstance(other, np.ndarray):
            assert np.array_equal(one, other)
        else:
            assert one == other


def test_cells_by_counts_and_genes_fall_into_the_bins_of_numpy():
    table = mr.qc_table(pd.RangeIndex(3000).astype(str), np.random.default_rng(1))
    table.loc[:4, "total_counts"] = [0, 1, 10, 1e7, 1e9]
    from aidocell.report.qcsummary import GRID_EDGES

    kept = table["kept"].to_numpy()
    columns = [
        np.clip(table.loc[kept, name], GRID_EDGES[0], GRID_EDGES[-1])
        for name in ("total_counts", "n_genes_by_counts")
    ]
    expected = np.histogram2d(*columns, bins=(GRID_EDGES, GRID_EDGES))[0]
    assert np.array_equal(summarise(table).grid_kept, expected)


def test_cells_on_the_map_carry_their_own_figures(tmp_path):
    cells = load(results_of(tmp_path, 2_000)).cells.table
    qc = pd.read_parquet(tmp_path / "samples" / SAMPLE / "qc.parquet").set_index("cell")
    barcodes = cells.index.str.removeprefix(f"{SAMPLE}:")
    assert np.array_equal(cells["total_counts"], qc.loc[barcodes, "total_counts"])
    numbers = barcodes.str.extract(r"(\d+)")[0].astype(int)
    assert cells["batch"].tolist() == [f"run {i % 3}" for i in numbers]
    assert "age" not in cells


def test_memory_hardly_grows_with_the_cells(tmp_path, monkeypatch):
    for module in ("rows", "report.columns", "report.qcsummary", "report.study"):
        monkeypatch.setattr(f"aidocell.{module}.RANGE", 500)
    peaks = []
    for cells in (2_000, 20_000):
        results = results_of(tmp_path / str(cells), cells)
        tracemalloc.start()
        load(results)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # some numbers a cell, while a table with its names takes hundreds of bytes
    assert peaks[1] - peaks[0] < 18_000 * 120

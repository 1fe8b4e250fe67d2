"""Shards are cut by work, and their plan is small and the same each time."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from small import TINY, make_cells
from torch.utils.flop_counter import FlopCounterMode

import aidocell
from aidocell.counts.align import align_file
from aidocell.errors import InputError
from aidocell.model import checkpoint_info, load_model
from aidocell.planning import plan_rows, plan_shards
from aidocell.workload import Rate, flops_per_cell, rate_of, shard_size

OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
SIZES = {  # layers, hidden, intermediate, of the official checkpoints
    "3M": (6, 128, 320),
    "10M": (8, 256, 640),
    "100M": (18, 640, 1664),
}


def shape(name):
    names = ("num_hidden_layers", "hidden_size", "intermediate_size")
    return {**dict(zip(names, SIZES[name], strict=True)), "max_position_embeddings": 19264}


def test_the_work_of_a_cell_is_what_pytorch_counts():
    model = load_model(str(TINY), attention="reference")
    cell = torch.from_numpy(make_cells(1).X.toarray())
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(aidocell.preprocess(cell))
    # the gene embedding, a tenth of so small a model, is not in the formula
    assert flops_per_cell(asdict(model.config)) == pytest.approx(
        counter.get_total_flops(), rel=0.15
    )


@pytest.mark.parametrize(("name", "work"), [("3M", 1.18e12), ("10M", 3.27e12), ("100M", 20.5e12)])
def test_the_work_of_the_official_checkpoints_is_known(name, work):
    assert flops_per_cell(shape(name)) == pytest.approx(work, rel=0.03)


def test_a_given_rate_counts_more_than_an_assumed_one():
    given = rate_of(None, device="auto", precision="float32", cells_per_second=3)
    assert given == Rate(3.0, "embed.cells_per_second of the config")
    cpu, gpu, half = (
        rate_of(shape("3M"), device=device, precision=precision)
        for device, precision in (("cpu", "float32"), ("auto", "float32"), ("cuda", "bfloat16"))
    )
    assert cpu.cells_per_second < gpu.cells_per_second < half.cells_per_second
    assert "a CPU" in cpu.source
    assert "bfloat16" in half.source


def test_a_record_without_the_models_shape_is_refused_with_what_to_do():
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*delete it"):
        rate_of(None, device="cpu", precision="float32")


@pytest.mark.parametrize(
    ("cells", "rate", "options", "size"),
    [
        (10_000, 1.0, {}, 1112),  # nine even parts of at most 1,200 cells
        (10_000, 1.0, {"shard_minutes": 60}, 3334),
        (10_000, 1.0, {"shard_cells": 64}, 64),
        (100, 0.0001, {}, 1),  # a cell takes hours: one at a time
        (4_000_000, 0.1, {}, 2000),  # 2,000 shards are the most
        (30, 500.0, {}, 30),
        (0, 1.0, {}, 1),
    ],
)
def test_shards_are_even_parts_of_so_many_minutes(cells, rate, options, size):
    assert shard_size(cells, Rate(rate, "given"), **options) == size


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    make_cells(40).write_h5ad(folder / "cells.h5ad")
    path = folder / "counts.zarr.zip"
    align_file(folder / "cells.h5ad", path, vocabulary=load_model(str(TINY)).genes)
    return path


@pytest.fixture(scope="module")
def record():
    return asdict(checkpoint_info(str(TINY)))


def test_a_plan_says_how_long_it_will_take_and_why(tmp_path, counts, record):
    plan = plan_shards(
        counts, tmp_path / "p.json", checkpoint=record, cells_per_second=0.02, **OPTIONS
    )
    assert plan["planned"] == {
        "seconds": 2000.0,
        "cells_per_second": 0.02,
        "source": "embed.cells_per_second of the config",
    }
    assert plan["shards"] == [[0, 20], [20, 40]]


def test_equal_plans_have_equal_bytes_and_a_kept_one_stays(tmp_path, counts, record):
    paths = [tmp_path / name for name in ("one.json", "two.json")]
    for path in paths:
        plan_shards(counts, path, checkpoint=record, **OPTIONS)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    plan_shards(counts, paths[1], checkpoint=record, cells_per_second=1e-3, **OPTIONS)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_plan_of_ten_thousand_shards_is_under_a_megabyte(tmp_path, record):
    provenance = {"genes_sha256": record["genes_sha256"], "counts_digest": "0" * 64}
    store = SimpleNamespace(path="counts", shape=(10**8, 256), provenance=provenance)
    plan = plan_rows(store, tmp_path / "p.json", record, OPTIONS, 10**4, Rate(1.0, "given"))
    assert len(plan["shards"]) == 10_000
    assert (tmp_path / "p.json").stat().st_size < 1_000_000

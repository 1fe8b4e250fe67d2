"""The recipe of the demonstration checkpoint: deterministic, and it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse

from aidocell.genes import Vocabulary
from aidocell.model import load_model, preprocess, random_network
from aidocell.train import demo
from aidocell.train.demo import CONFIG, Recipe, Samples, main, pretrain, split_cells

SHORT = Recipe(steps=30, warmup=5, cells=4, genes=32, variable=64, held_out=10)


@pytest.fixture(scope="module")
def counts():
    """Cells of two kinds, each with genes of its own."""
    generator = np.random.default_rng(0)
    rates = np.full((2, 19264), 0.01)
    rates[0, :100], rates[1, 100:200] = 5, 5
    return generator.poisson(rates[np.arange(40) % 2]).astype(np.float32)


@pytest.fixture(scope="module")
def values(counts):
    return preprocess(counts)


@pytest.fixture(autouse=True)
def one_thread():
    threads, deterministic = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )
    yield torch.set_num_threads(1)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def weights(model):
    return torch.cat([weight.flatten() for weight in model.parameters()])


def draw(values, recipe, seed=0):
    genes = torch.arange(500, 700)
    cells = torch.from_numpy(values[:5])
    return Samples.draw(cells, genes, recipe, torch.Generator().manual_seed(seed))


def test_a_seed_gives_the_same_weights_each_time_and_another_seed_others(values):
    first, again = pretrain(values, SHORT, seed=1), pretrain(values, SHORT, seed=1)
    assert torch.equal(weights(first[0]), weights(again[0]))
    assert first[1] == again[1]
    assert not torch.equal(weights(first[0]), weights(pretrain(values, SHORT, seed=2)[0]))


def test_training_lowers_the_validation_loss(values):
    _, before = pretrain(
        values, replace(SHORT, steps=SHORT.warmup + 1, rate=0, position_rate=0), seed=0
    )
    _, after = pretrain(values, SHORT, seed=0)
    assert after < 0.8 * before


def test_a_draw_holds_the_cells_values_at_distinct_genes_and_both_depth_tokens(values):
    samples = draw(values, SHORT)
    assert samples.positions.shape == (5, SHORT.genes + 2)
    for cell, positions, target in zip(values, samples.positions, samples.target, strict=False):
        np.testing.assert_array_equal(target.numpy(), cell[positions])
        assert len(set(positions.tolist())) == SHORT.genes + 2
        assert ((positions[:-2] >= 500) & (positions[:-2] < 700)).all()
        assert positions[-2:].tolist() == [19264, 19265]


def test_the_asked_share_of_genes_is_masked_and_never_a_depth_token(values):
    samples = draw(values, SHORT)
    assert (samples.masked.sum(1) == int(np.ceil(SHORT.masked * SHORT.genes))).all()
    assert not samples.masked[:, -2:].any()
    assert (samples.values[samples.masked] == -1).all()
    assert torch.equal(samples.values[~samples.masked], samples.target[~samples.masked])


def test_only_masked_genes_count_in_the_loss(values):
    model, samples = random_network(CONFIG, seed=0), draw(values, SHORT)
    elsewhere = torch.where(samples.masked, samples.target, samples.target + 3)
    assert replace(samples, target=elsewhere).loss(model) == samples.loss(model)
    at_masked = torch.where(samples.masked, samples.target + 3, samples.target)
    assert replace(samples, target=at_masked).loss(model) != samples.loss(model)


def test_cells_set_apart_are_not_trained_on():
    train, held_out = split_cells(40, SHORT)
    assert len(held_out) == SHORT.held_out
    assert sorted([*train, *held_out]) == list(range(40))


def test_the_command_writes_a_checkpoint_that_calls_itself_a_demonstration(
    counts, tmp_path, monkeypatch
):
    genes = Vocabulary.builtin()
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.var_names, adata.obs_names = list(genes.symbols), [f"cell{i}" for i in range(40)]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(demo, "Recipe", lambda: SHORT)
    output = tmp_path / "checkpoint"
    main(["--counts", str(tmp_path / "cells.h5ad"), "--output", str(output), "--seed", "3"])
    info = load_model(output).checkpoint
    assert (info.id, info.demonstration) == ("aidocell-demo", True)
    assert info.card["seed"] == 3
    assert info.card["trained_on"] == "cells.h5ad"
    assert 0 < info.card["validation_loss"] < 10


SHIPPED = Path(__file__).parents[2] / "resources" / "demo-checkpoint"


def test_the_shipped_checkpoint_was_chosen_by_validation_loss_and_beats_its_untrained_self():
    model = load_model(SHIPPED)
    card = model.checkpoint.card
    assert model.config == CONFIG
    assert model.genes.is_builtin
    assert card["validation_loss"] == min(seed["validation_loss"] for seed in card["seeds"])
    for pooling in ("mean", "max"):
        assert card["trained"][pooling] >= card["untrained"][pooling] + 0.1

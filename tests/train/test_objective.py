"""What the network sees of a cell, and what it should say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretraining import new_tiny_network
from scipy import sparse
from torch.nn import functional

from aidocell.model import preprocess
from aidocell.train.objective import Predictor, draw, squared_error
from aidocell.train.pretrain_options import PretrainOptions

CPU = torch.device("cpu")
OPTIONS = PretrainOptions(thinned_share=1.0)
GENES = 256


@pytest.fixture(scope="module")
def counts():
    """Cells of over 2,000 counts with a count in a half of the genes."""
    generator = np.random.default_rng(0)
    dense = generator.poisson(20, (12, GENES)) * (generator.random((12, GENES)) < 0.5)
    return sparse.csr_matrix(dense.astype(np.int32))


def drawn(counts, options=OPTIONS, genes=None, measured=None, seed=0):
    measured = np.ones(counts.shape, bool) if measured is None else measured
    keys = [(seed, cell) for cell in range(counts.shape[0])]
    return draw(counts, measured, keys, options, genes)


def test_the_target_is_the_input_at_full_depth_and_the_rest_is_the_thinned_cell(counts):
    found = drawn(counts)
    samples = found.samples(CPU)
    full, seen = preprocess(counts.toarray()), preprocess(found.seen.toarray())
    np.testing.assert_array_equal(samples.target, full)
    open_genes = ~samples.masked[:, :-2].numpy()
    np.testing.assert_array_equal(
        samples.values[:, :-2].numpy()[open_genes], seen[:, :-2][open_genes]
    )
    assert (found.seen.sum(1) < found.full.sum(1)).all()


def test_the_depth_tokens_say_the_full_depth_and_then_the_thinned_one():
    deep = sparse.csr_matrix(np.full((8, GENES), 10_000, np.int32))
    found = drawn(deep)
    samples = found.samples(CPU)
    wanted, given = samples.values[:, -2], samples.values[:, -1]
    np.testing.assert_allclose(wanted, np.log10(GENES * 10_000), rtol=1e-6)
    depth = np.log10(np.asarray(found.seen.sum(1)).ravel())
    np.testing.assert_allclose(given, np.maximum(depth, 5), rtol=1e-6)
    assert (given < wanted).all()


def test_the_asked_shares_of_genes_with_and_without_a_count_are_masked(counts):
    options = replace(OPTIONS, masked_share=0.4, masked_zero_share=0.1)
    masked, there = drawn(counts, options).masked, counts.toarray() > 0
    np.testing.assert_array_equal((masked & there).sum(1), np.ceil(0.4 * there.sum(1)))
    np.testing.assert_array_equal((masked & ~there).sum(1), np.ceil(0.1 * (~there).sum(1)))


def test_masked_genes_are_hidden_and_depth_tokens_never_are(counts):
    samples = drawn(counts).samples(CPU)
    assert (samples.values[samples.masked] == -1).all()
    assert (samples.values[~samples.masked] >= 0).all()
    assert not samples.masked[:, -2:].any()


def test_genes_that_the_file_did_not_measure_are_never_to_be_predicted(counts):
    measured = np.ones(counts.shape, bool)
    measured[:, 100:] = False
    masked = drawn(counts, replace(OPTIONS, masked_zero_share=1.0), measured=measured).masked
    zero = counts.toarray() == 0
    assert masked[:, :100][zero[:, :100]].all()
    assert not masked[:, 100:][zero[:, 100:]].any()


def test_drawn_genes_are_distinct_ones_of_those_offered_with_both_depth_tokens(counts):
    options = replace(OPTIONS, genes_per_cell=20, variable_genes=40)
    offered = np.arange(50, 90)
    samples = drawn(counts, options, offered).samples(CPU)
    assert samples.positions.shape == (12, 22)
    full = preprocess(counts.toarray())
    for cell, positions, target in zip(
        full, samples.positions.numpy(), samples.target, strict=True
    ):
        assert len(set(positions[:-2])) == 20
        assert set(positions[:-2]) <= set(offered)
        assert positions[-2:].tolist() == [GENES, GENES + 1]
        np.testing.assert_array_equal(target, cell[positions])


def test_what_is_drawn_for_a_cell_does_not_depend_on_the_cells_beside_it(counts):
    options = replace(OPTIONS, genes_per_cell=20)
    whole = drawn(counts, options, np.arange(GENES))
    alone = draw(counts[7:8], np.ones((1, GENES), bool), [(0, 7)], options, np.arange(GENES))
    np.testing.assert_array_equal(whole.positions[7:8], alone.positions)
    np.testing.assert_array_equal(whole.masked[7:8], alone.masked)
    assert (whole.seen[7:8] != alone.seen).nnz == 0
    assert (whole[7:8].seen != alone.seen).nnz == 0


def test_another_seed_draws_otherwise(counts):
    assert (drawn(counts, seed=1).masked != drawn(counts, seed=2).masked).any()


def test_the_loss_is_the_mean_squared_error_at_masked_genes_alone(counts):
    found = drawn(counts)
    samples = found.samples(CPU)
    predicted = torch.from_numpy(np.random.default_rng(1).random(samples.target.shape)).float()
    expected = functional.mse_loss(predicted[samples.masked], samples.target[samples.masked])
    loss = squared_error(predicted, samples) / found.n_masked
    torch.testing.assert_close(loss, expected)
    elsewhere = torch.where(samples.masked, predicted, predicted + 3)
    assert squared_error(elsewhere, samples) == squared_error(predicted, samples)


def test_all_genes_in_order_and_all_genes_by_their_positions_are_predicted_alike(counts):
    network = new_tiny_network()
    samples = drawn(counts).samples(CPU)
    order = torch.arange(GENES + 2).expand(12, -1)
    with torch.no_grad():
        whole = Predictor(network)(samples.values, None)
        by_position = Predictor(network)(samples.values, order)
        direct = network.predict_expression(samples.values)
    assert torch.equal(whole, direct)
    torch.testing.assert_close(by_position, whole)

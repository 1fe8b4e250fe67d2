"""Thinning keeps what binomial sampling keeps, and leaves shallow cells alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.thinning import thinned

ALWAYS = PretrainOptions(thinned_share=1.0)


def generators(number, seed=0):
    return [np.random.default_rng([seed, cell]) for cell in range(number)]


def equal_cells(number, counts):
    return sparse.csr_matrix(np.tile(np.array(counts, np.int32), (number, 1)))


def kept_shares(matrix, options):
    seen = thinned(matrix, generators(matrix.shape[0]), options)
    return np.asarray(seen.sum(1)).ravel() / np.asarray(matrix.sum(1)).ravel()


def test_rates_have_the_mean_and_variance_of_their_beta_distribution():
    shares = kept_shares(equal_cells(4000, [5000, 3000, 2000]), ALWAYS)
    assert abs(shares.mean() - 0.5) < 0.015
    assert abs(shares.var() - 1 / 20) < 0.004
    other = kept_shares(equal_cells(4000, [5000, 3000, 2000]), replace(ALWAYS, thinning_alpha=6.0))
    assert abs(other.mean() - 0.75) < 0.015


def test_a_cells_genes_are_thinned_at_one_rate_each_molecule_by_itself():
    matrix = equal_cells(3000, [4000, 400, 40])
    seen = thinned(matrix, generators(3000), ALWAYS).toarray()
    rates = seen[:, 0] / 4000
    spread = (seen[:, 1] - 400 * rates) / np.sqrt(400 * rates * (1 - rates) * 1.1)
    assert abs(spread.mean()) < 0.1
    assert abs(spread.std() - 1) < 0.1


def test_cells_of_up_to_a_thousand_counts_are_left_as_they_are():
    shallow = equal_cells(50, [600, 400])
    assert (thinned(shallow, generators(50), ALWAYS) != shallow).nnz == 0
    assert (kept_shares(equal_cells(50, [601, 400]), ALWAYS) < 1).all()


def test_the_asked_share_of_deep_cells_is_thinned():
    deep = equal_cells(4000, [2000, 1000])
    untouched = (kept_shares(deep, PretrainOptions()) == 1).mean()
    assert abs(untouched - 0.5) < 0.03
    assert (kept_shares(deep, PretrainOptions(thinned_share=0.0)) == 1).all()


def test_the_counts_that_are_thinned_stay_as_they_were():
    deep = equal_cells(5, [3000])
    thinned(deep, generators(5), ALWAYS)
    assert (deep.data == 3000).all()


def test_what_happens_to_a_cell_does_not_depend_on_the_cells_beside_it():
    deep = sparse.csr_matrix(np.random.default_rng(0).poisson(20, (6, 100)).astype(np.int32))
    whole = thinned(deep, generators(6), ALWAYS)
    alone = thinned(deep[4:5], generators(6)[4:5], ALWAYS)
    assert (whole[4:5] != alone).nnz == 0


def test_no_cell_loses_all_its_counts():
    options = replace(ALWAYS, thinning_min_counts=0, thinning_alpha=0.01, thinning_beta=50.0)
    seen = thinned(equal_cells(200, [1, 1]), generators(200), options)
    assert (seen.sum(1) > 0).all()

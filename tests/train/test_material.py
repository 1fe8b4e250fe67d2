"""Cells set apart are never learned from, and cells without a count never come."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pretraining import GENES, write_counts
from scipy import sparse
from small import make_cells

from aidocell.errors import InputError
from aidocell.model import preprocess
from aidocell.train.material import Material
from aidocell.train.pretrain_options import PretrainOptions
from aidocell.train.streaming import StoredCells

EMPTY = [0, 1, 2, 30, 77]


@pytest.fixture(scope="module")
def counts():
    counts = make_cells(80).X.toarray()
    counts[EMPTY] = 0
    return counts


@pytest.fixture(scope="module")
def stored(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("stores") / "counts.zarr.zip"
    write_counts(path, sparse.csr_matrix(counts))
    return StoredCells.of([path], genes_sha256=GENES.sha256)


def test_every_cell_with_a_count_is_either_learned_from_or_set_apart(stored, counts):
    options = PretrainOptions(validation_cells=20, block_cells=7, blocks=3)
    material = Material.of(stored, options)
    learned = np.concatenate(list(material.stream(options, seed=0).order(0)))
    assert len(material.held_out) == 20
    assert sorted([*learned, *material.held_out, *EMPTY]) == list(range(80))
    np.testing.assert_array_equal(material.held_out_counts.toarray(), counts[material.held_out])


def test_the_cells_set_apart_come_from_all_parts_of_the_file(stored):
    held_out = Material.of(stored, PretrainOptions(validation_cells=20)).held_out
    assert held_out.tolist() == sorted(set(held_out))
    assert held_out[0] < 20
    assert held_out[-1] > 60


def test_a_tenth_of_the_cells_is_set_apart_where_no_number_is_given(stored):
    assert len(Material.of(stored, PretrainOptions()).held_out) == 7


@pytest.mark.parametrize("number", [38, 500])
def test_no_more_than_half_of_the_cells_can_be_set_apart(stored, number):
    with pytest.raises(InputError, match=rf"E_NO_CELLS.*{number} of 75"):
        Material.of(stored, PretrainOptions(validation_cells=number))


def test_the_genes_drawn_from_are_those_with_the_largest_variance_where_it_is_learned(
    stored, counts
):
    options = PretrainOptions(genes_per_cell=5, variable_genes=12, validation_cells=20)
    material = Material.of(stored, options)
    learned = np.setdiff1d(np.arange(80), [*material.held_out, *EMPTY])
    values = preprocess(torch.from_numpy(counts[learned]))[:, :-2]
    expected = values.double().var(0).argsort(descending=True)[:12]
    np.testing.assert_array_equal(material.genes, expected)

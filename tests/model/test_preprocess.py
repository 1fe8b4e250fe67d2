"""Counts to input: exact on each row alone, and refused where no input exists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aidocell.errors import InputError
from aidocell.model import preprocess

COUNTS = arrays(np.int32, st.tuples(st.integers(1, 5), st.just(7)), elements=st.integers(0, 2**20))


def filled(counts):
    counts[:, 0] += 1
    return counts


@given(COUNTS.map(filled))
def test_a_cell_does_not_depend_on_the_cells_beside_it(counts):
    together = preprocess(counts)
    alone = np.concatenate([preprocess(row[None]) for row in counts])
    np.testing.assert_array_equal(together, alone)


@given(COUNTS.map(filled))
def test_values_follow_the_formula(counts):
    total = counts.sum(1, keepdims=True)
    values = preprocess(counts)
    np.testing.assert_allclose(values[:, :-2], np.log1p(1e4 * counts / total), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        values[:, -2:], np.clip(np.log10(total), 5, 20).repeat(2, 1), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.float32, np.float64])
def test_the_type_of_the_counts_does_not_matter(dtype):
    counts = np.array([[3, 0, 1], [0, 9, 700]])
    np.testing.assert_array_equal(preprocess(counts.astype(dtype)), preprocess(counts))


def test_a_tensor_gives_a_tensor_with_the_same_values():
    counts = np.array([[3, 0, 1]])
    values = preprocess(torch.from_numpy(counts))
    assert values.dtype == torch.float32
    np.testing.assert_array_equal(values.numpy(), preprocess(counts))


def test_a_total_beyond_float32s_whole_numbers_is_summed_exactly():
    counts = np.full((1, 3), 2**24 + 1)
    assert preprocess(counts)[0, -1] == np.float32(np.log10(3 * (2**24 + 1)))


@pytest.mark.parametrize(
    ("counts", "id", "rows"),
    [
        ([[1, 2], [0, 0], [0, 0]], "E_EMPTY_CELLS", "2 of 3 cells.*1, 2"),
        ([[1.0, 2.0], [3.0, -1.0]], "E_NEGATIVE", "1 of 2 cells.*: 1"),
        ([[1.0, np.nan], [3.0, np.inf]], "E_NOT_FINITE", "2 of 2 cells.*0, 1"),
        ([[1, 0]] * 3 + [[0, 0]] * 12, "E_EMPTY_CELLS", "12, …"),
        ([1, 2, 3], "E_MATRIX_SHAPE", "1 dimensions"),
        ([["1", "2"]], "E_MATRIX_TYPE", "<U1"),
        ([[True, False]], "E_MATRIX_TYPE", "bool"),
    ],
)
def test_what_cannot_be_counts_is_refused_with_its_rows(counts, id, rows):
    with pytest.raises(InputError, match=rows) as caught:
        preprocess(np.array(counts))
    assert caught.value.id == id

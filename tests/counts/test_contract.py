from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from make_files import counts
from scipy import sparse

from aidocell.counts.contract import Contract, canonical
from aidocell.counts.looks import ESTIMATED, LOG, SCALED, looks_like
from aidocell.errors import InputError


def look(matrix, *, where="x", first_cell=0, round=False):
    contract = Contract(where=where, round=round)
    chunk = contract.look(canonical(sparse.csr_matrix(matrix), where=where), first_cell=first_cell)
    contract.raise_first()
    return chunk


def refusal(values, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        look(sparse.csr_matrix(values), where="x.h5ad", first_cell=100, **options)
    return caught.value


@given(arrays.arrays(np.float32, (4, 5), elements=st.integers(0, 2**24).map(float)))
def test_whole_numbers_come_back_as_they_are(values):
    chunk = look(values)
    np.testing.assert_array_equal(chunk.toarray(), values)
    assert chunk.dtype == np.int32
    assert chunk.nnz == np.count_nonzero(values)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_any_sparse_format_gives_sorted_rows(form):
    values = counts()
    chunk = look(sparse.csr_matrix(values).asformat(form))
    assert isinstance(chunk, sparse.csr_matrix)
    assert chunk.toarray().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("value", "id"), [(np.nan, "E_NOT_FINITE"), (-1.0, "E_NEGATIVE"), (0.5, "E_NOT_COUNTS")]
)
def test_the_first_wrong_value_is_shown_with_its_place(value, id):
    values = counts().astype(float)
    values[2, 3] = values[4, 1] = value
    error = refusal(values)
    assert error.id == id
    assert "x.h5ad" in error.what
    assert f"{value:.6g} in cell 103, gene 4" in error.what


def test_not_finite_comes_before_negative_before_fractions():
    values = counts().astype(float)
    values[0, 0], values[1, 0], values[2, 0] = 0.5, -1, np.inf
    assert refusal(values).id == "E_NOT_FINITE"
    values[2, 0] = 1
    assert refusal(values).id == "E_NEGATIVE"
    values[1, 0] = 1
    assert refusal(values).id == "E_NOT_COUNTS"


def test_numbers_too_large_for_counts_are_refused():
    error = refusal([[1e20, 1.0]])
    assert error.id == "E_NOT_COUNTS"
    assert "too large" in error.what


def test_a_gene_twice_in_a_cell_is_refused():
    twice = sparse.csr_matrix((np.ones(3), np.array([1, 2, 1]), np.array([0, 3, 3])), shape=(2, 4))
    with pytest.raises(InputError) as caught:
        look(twice, where="x.h5ad", first_cell=0)
    assert caught.value.id == "E_MATRIX_SHAPE"


def test_the_same_gene_in_neighbouring_cells_is_fine():
    values = np.array([[0, 0, 1], [0, 0, 2], [0, 0, 0], [0, 0, 3]])
    chunk = look(values)
    assert chunk.toarray().tolist() == values.tolist()


def test_estimated_counts_are_rounded_to_the_nearest():
    values = counts().astype(float)
    values[0, 0], values[0, 1] = 2.7, 0.2
    chunk = look(values, round=True)
    np.testing.assert_array_equal(chunk.toarray(), np.rint(values))
    assert chunk.data.all()


# ---------------------------------------------------------------- what values look like


def library(n_cells: int = 40, n_genes: int = 200, *, seed: int = 0) -> np.ndarray:
    """Counts with the skew of real ones: most are zero or one, some are large."""
    rng = np.random.default_rng(seed)
    means = rng.lognormal(-1.5, 1.5, n_genes)
    return rng.poisson(means * rng.lognormal(0, 0.4, (n_cells, 1))).astype(float)


def normalised(values: np.ndarray, total: float = 1e4) -> np.ndarray:
    return values / values.sum(axis=1, keepdims=True) * total


def subset(values: np.ndarray) -> np.ndarray:
    """As after a choice of genes: totals differ."""
    return values[:, ::2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chosen", [np.asarray, subset])
@pytest.mark.parametrize("total", [1e3, 1e4, 1e6])
def test_normalised_values_are_told_from_counts(total, chosen, dtype):
    values = normalised(library(), total)
    assert looks_like(sparse.csr_matrix(chosen(values).astype(dtype))) == SCALED
    for logarithm in (np.log1p, lambda x: np.log2(x + 1), lambda x: np.log10(x + 1)):
        logged = chosen(logarithm(values)).astype(dtype)
        assert looks_like(sparse.csr_matrix(logged)) == LOG


def test_square_roots_of_normalised_values_are_no_estimated_counts():
    assert looks_like(sparse.csr_matrix(np.sqrt(normalised(library())))) == SCALED


def test_the_logarithm_of_plain_counts_is_a_logarithm():
    assert looks_like(sparse.csr_matrix(np.log1p(library()))) == LOG


def ambient(values: np.ndarray) -> np.ndarray:
    return values * np.random.default_rng(1).uniform(0.6, 1, values.shape)


def shared_reads(values: np.ndarray) -> np.ndarray:
    """As quantifiers do with reads of several genes: most counts stay whole."""
    rng = np.random.default_rng(2)
    return values + (rng.random(values.shape) < 0.2) * rng.choice([0.5, 1 / 3, 0.25], values.shape)


@pytest.mark.parametrize("estimate", [ambient, shared_reads])
def test_estimated_counts_are_told_from_normalised_ones(estimate):
    assert looks_like(sparse.csr_matrix(estimate(library()))) == ESTIMATED


def test_one_fraction_among_whole_counts_is_an_estimate():
    values = library()
    values[7, 3] = 2.5
    assert looks_like(sparse.csr_matrix(values)) == ESTIMATED

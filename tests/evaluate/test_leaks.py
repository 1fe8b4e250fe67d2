import anndata as ad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from small import ROOT

from aidocell.errors import InputError
from aidocell.evaluate.digests import PARTS, part_hashes, row_digests
from aidocell.evaluate.labels import clean_groups
from aidocell.evaluate.leaks import LEAST_GENES, Side, about_leaks, find_leaks, require_no_leak


def counts_of(cells, *, seed, genes=120):
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(1.5, (cells, genes)))


def side(what, matrix, *, groups=None, prefix="", step=4):
    """A file whose rows come in blocks of four."""
    names = np.array([f"{prefix or what}{i}" for i in range(matrix.shape[0])], dtype=object)
    starts = range(0, matrix.shape[0], step)
    known = None if groups is None else clean_groups(groups)
    return Side(what, names, known, lambda: (matrix[at : at + step] for at in starts))


def planted(matrix, row, other, place=3):
    changed = sparse.lil_matrix(matrix)
    changed[place] = other[row]
    return sparse.csr_matrix(changed)


def leaking_cells(first, second):
    leaks = find_leaks([side("train", first), side("test", second)])
    return leaks[0].cells if leaks else []


def test_files_of_different_cells_do_not_leak():
    assert (
        find_leaks([side("train", counts_of(12, seed=0)), side("test", counts_of(9, seed=1))]) == []
    )


def test_a_cell_under_another_name_is_found_and_named():
    first = counts_of(12, seed=0)
    second = planted(counts_of(9, seed=1), 7, first)
    with pytest.raises(
        InputError, match=r"share 1 cell \(first: 'train7', there 'test3'\)"
    ) as caught:
        require_no_leak([side("train", first), side("test", second)])
    assert caught.value.id == "E_GROUP_LEAK"


def test_explicit_zeros_order_and_type_hide_nothing():
    first = counts_of(12, seed=0)
    second = planted(counts_of(9, seed=1), 7, first).astype(np.float32)
    row = second[3]
    mess = sparse.csr_matrix(
        (
            np.concatenate([row.data[::-1], [0.0]]).astype(np.float32),
            np.concatenate([row.indices[::-1], [np.flatnonzero(row.toarray()[0] == 0)[0]]]),
            [0, row.nnz + 1],
        ),
        shape=row.shape,
    )
    second = sparse.vstack([second[:3], mess, second[4:]], format="csr")
    assert leaking_cells(first.astype(np.int64), second) == [("train7", "test3")]


def test_genes_left_out_of_one_file_hide_nothing():
    first = counts_of(12, seed=0)
    second = planted(counts_of(9, seed=1), 7, first)
    fewer = sparse.csr_matrix(second.multiply(np.arange(120) % 2 == 0))
    assert leaking_cells(first, fewer) == [("train7", "test3")]
    assert leaking_cells(fewer, first) == [("test3".replace("test", "train"), "test7")]


def test_cells_alike_in_a_handful_of_common_genes_are_not_taken_for_one():
    first, second = counts_of(12, seed=0), counts_of(9, seed=1)
    few = np.arange(120) < LEAST_GENES - 1
    second = sparse.csr_matrix(planted(second, 7, first).multiply(few))
    assert leaking_cells(first, second) == []


def test_cells_of_zeros_are_no_leak():
    first, second = counts_of(12, seed=0).tolil(), counts_of(9, seed=1).tolil()
    first[2] = 0
    second[5] = 0
    assert leaking_cells(first.tocsr(), second.tocsr()) == []


def test_some_changed_counts_hide_nothing():
    """As where two spellings of genes are summed up differently."""
    first = counts_of(12, seed=0)
    second = planted(counts_of(9, seed=1), 7, first).toarray()
    second[3, [0, 17, 34]] += 1
    assert leaking_cells(first, sparse.csr_matrix(second)) == [("train7", "test3")]


def test_changed_counts_all_over_make_another_cell():
    first = counts_of(12, seed=0)
    second = planted(counts_of(9, seed=1), 7, first).toarray()
    second[3, np.arange(0, 120, 7)] += 1
    assert leaking_cells(first, sparse.csr_matrix(second)) == []


def test_no_two_cells_of_real_blood_are_taken_for_one():
    cells = ad.read_h5ad(ROOT / "resources" / "pbmc3k.h5ad").X[:, ::2]
    assert leaking_cells(cells[:1350], cells[1350:]) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5))
def test_part_hashes_are_equal_exactly_where_the_counts_of_the_part_are(seed, changes):
    generator = np.random.default_rng(seed)
    counts = sparse.random(6, 100, density=0.4, random_state=generator, format="csr")
    other = counts.toarray()
    other[generator.integers(6, size=changes), generator.integers(100, size=changes)] += 1
    columns = generator.random(100) < 0.8
    ours, sizes = part_hashes(counts, columns)
    theirs, _ = part_hashes(sparse.csc_matrix(other), columns)
    for part in range(PARTS):
        mine = (np.arange(100) % PARTS == part) & columns
        same = (counts.toarray()[:, mine] == other[:, mine]).all(axis=1)
        np.testing.assert_array_equal(ours[:, part] == theirs[:, part], same)
        expressed = (counts.toarray()[:, mine] > 0).sum(axis=1)
        np.testing.assert_array_equal(sizes[:, part], expressed)


def test_equal_embeddings_are_found_whatever_their_type():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(12, 6)).astype(np.float32), rng.normal(size=(9, 6))
    second[3] = first[7]
    leaks = find_leaks([side("train", first), side("test", second)])
    assert leaks[0].cells == [("train7", "test3")]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("d1", " d1"), ("d1", "d1\t"), ("d1", "d\u200b1"), ("a b", "a\u00a0 b"), (1, "1.0"), ("1", "01")],
)  # fmt: skip
def test_a_donor_is_found_however_it_is_written(ours, theirs):
    train = side("train", counts_of(4, seed=0), groups=[ours, ours, "x", "x"])
    test = side("test", counts_of(4, seed=1), groups=[theirs, "y", "y", "y"])
    with pytest.raises(InputError, match="share 1 group") as caught:
        require_no_leak([train, test])
    assert caught.value.id == "E_GROUP_LEAK"


def test_upper_and_lower_case_are_two_donors_with_a_warning():
    train = side("train", counts_of(4, seed=0), groups=["d1"] * 4)
    test = side("test", counts_of(4, seed=1), groups=["D1"] * 4)
    notes = require_no_leak([train, test])
    assert [note["id"] for note in notes] == ["groups-alike"]
    assert "'D1' and 'd1'" in notes[0]["text"]


def test_cells_without_a_donor_share_none():
    train = side("train", counts_of(4, seed=0), groups=["d1", "", None, "nan"])
    test = side("test", counts_of(4, seed=1), groups=["d2", "", None, "nan"])
    assert find_leaks([train, test]) == []


def test_every_pair_of_three_files_is_looked_at():
    test, valid = counts_of(9, seed=1), counts_of(5, seed=2)
    sides = [
        side("train", counts_of(12, seed=0)),
        side("test", test),
        side("validation", planted(valid, 0, test)),
    ]
    assert [(leak.first, leak.second) for leak in find_leaks(sides)] == [("test", "validation")]


def test_many_equal_names_with_other_counts_are_suspicious():
    sides = [side(w, counts_of(8, seed=i), prefix="same") for i, w in enumerate(["train", "test"])]
    assert [note["id"] for note in require_no_leak(sides)] == ["names-shared"]


def test_leaks_that_are_borne_are_counted_and_named():
    first = counts_of(12, seed=0)
    second = sparse.vstack([counts_of(3, seed=1), first[:2]], format="csr")
    train = side("train", first, groups=["d1"] * 6 + ["d2"] * 6)
    test = side("test", second, groups=["d3"] * 4 + ["d2"])
    found, notes = about_leaks([train, test])
    assert found == {"groups": 1, "cells": 2}
    assert "'d2'" in notes[0]["text"]


def test_minus_zero_is_zero():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 0.0]], dtype=np.float32)
    first, second, empty = row_digests(rows)
    assert first == second
    assert empty == ""

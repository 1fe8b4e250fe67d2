import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from aidocell.errors import InputError
from aidocell.evaluate.splits import assign_folds, assign_groups, assign_repeated_folds


def names_of(n):
    return np.array([f"cell{i:04d}" for i in range(n)], dtype=object)


def labels_of(n, classes="ab"):
    return np.array([classes[i % len(classes)] for i in range(n)], dtype=object)


def test_folds_are_stratified_and_all_used():
    labels = labels_of(60, "aab")
    fold, warnings = assign_folds(labels, names_of(60), folds=5, seed=0)
    assert warnings == []
    for number in range(1, 6):
        assert (labels[fold == number] == "a").sum() == 8
        assert (labels[fold == number] == "b").sum() == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_folds_do_not_depend_on_the_order_of_the_cells(seed, grouped):
    rng = np.random.default_rng(seed)
    labels, cells = labels_of(40), names_of(40)
    groups = np.array([f"d{g}" for g in rng.integers(0, 8, 40)], dtype=object)
    matrix = rng.integers(0, 3, (40, 3)).astype(float)  # some rows are equal
    options = {"folds": 2, "seed": 5}
    order = rng.permutation(40)

    def split(rows):
        own = groups[rows] if grouped else None
        return assign_folds(
            labels[rows], cells[rows], groups=own, matrices=[matrix[rows]], **options
        )

    try:
        expected, warned = split(np.arange(40))
    except InputError as error:
        with pytest.raises(InputError, match=error.id):
            split(order)
        return
    found, warned_too = split(order)
    np.testing.assert_array_equal(found, expected[order])
    assert warned == warned_too


def test_another_seed_gives_another_split():
    first, second = (assign_folds(labels_of(60), names_of(60), folds=3, seed=s)[0] for s in (0, 1))
    assert (first != second).any()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_no_group_straddles_folds(seed):
    rng = np.random.default_rng(seed)
    groups = np.array([f"donor{g}" for g in rng.permutation(np.arange(90) % 9)], dtype=object)
    labels = np.array(["a", "b", "c"], dtype=object)[rng.integers(0, 3, 90)]
    fold, _ = assign_folds(labels, names_of(90), folds=3, seed=0, groups=groups)
    assert set(fold) == {1, 2, 3}
    for donor in np.unique(groups):
        assert len(np.unique(fold[groups == donor])) == 1


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
def test_equal_cells_stay_in_one_fold_with_a_warning(wrap):
    rows = np.arange(1, 41, dtype=float).repeat(2)[:, None] * [1, 2]
    order = np.random.default_rng(0).permutation(80)
    labels, rows = labels_of(80)[order], rows[order]
    fold, warnings = assign_folds(labels, names_of(80), folds=4, seed=0, matrices=[wrap(rows)])
    for value in np.unique(rows[:, 0]):
        assert len(np.unique(fold[rows[:, 0] == value])) == 1
    assert [w["id"] for w in warnings] == ["equal-cells"]
    assert warnings[0]["text"].startswith("80 cells have an equal cell")
    assert "cell0000" in warnings[0]["text"]
    assert all(abs((fold == k).sum() - 20) <= 4 for k in (1, 2, 3, 4))


def test_explicit_zeros_and_unsorted_indices_do_not_hide_an_equal_cell():
    matrix = sparse.csr_matrix(
        (np.array([1, 2, 2, 1, 0]), np.array([0, 1, 1, 0, 2]), np.array([0, 2, 5])), shape=(2, 3)
    )
    more = sparse.vstack([matrix, sparse.diags([3, 4, 5], dtype=int)])
    labels = np.array(["a", "a", "b", "b", "a"], dtype=object)
    fold, warnings = assign_folds(
        labels, names_of(5), folds=2, seed=0, matrices=[sparse.csr_matrix(more)]
    )
    assert fold[0] == fold[1]
    assert warnings[0]["id"] == "equal-cells"


def test_groups_that_share_an_equal_cell_are_joined_and_named():
    groups = np.array(["x", "y", "z", "w"] * 10, dtype=object)
    matrix = np.arange(1.0, 41)[:, None]
    matrix[1] = matrix[0]  # one cell of x is one of y
    fold, warnings = assign_folds(
        np.array((["a"] * 4 + ["b"] * 4) * 5, dtype=object),
        names_of(40),
        folds=2,
        seed=0,
        groups=groups,
        matrices=[matrix],
    )
    assert len(np.unique(fold[np.isin(groups, ["x", "y"])])) == 1
    assert "x, y" in next(w["text"] for w in warnings if w["id"] == "groups-joined")


def test_fewer_groups_than_folds_is_refused():
    groups = np.array(["x", "y"] * 10, dtype=object)
    with pytest.raises(InputError, match="2 separate groups") as caught:
        assign_folds(labels_of(20, "aabb"), names_of(20), folds=5, seed=0, groups=groups)
    assert caught.value.id == "E_CONFIG"


def test_a_class_of_one_group_is_named():
    labels = np.array(["a", "b"] * 15 + ["odd"] * 5, dtype=object)
    groups = np.array([f"d{i % 5}" for i in range(30)] + ["d0"] * 5, dtype=object)
    _, warnings = assign_folds(labels, names_of(35), folds=3, seed=0, groups=groups)
    assert "'odd'" in next(w["text"] for w in warnings if w["id"] == "class-in-one-fold")


def test_a_training_part_of_one_class_is_refused():
    labels = np.array(["a"] * 10 + ["b"] * 10, dtype=object)
    groups = np.array(["x"] * 10 + ["y"] * 10, dtype=object)
    with pytest.raises(InputError) as caught:
        assign_folds(labels, names_of(20), folds=2, seed=0, groups=groups)
    assert caught.value.id == "E_LABEL_CLASSES"


def test_one_fold_is_refused():
    with pytest.raises(InputError) as caught:
        assign_folds(labels_of(4), names_of(4), folds=1, seed=0)
    assert caught.value.id == "E_CONFIG"


def test_repeats_are_different_splits_and_the_first_is_that_of_the_seed():
    labels, cells = labels_of(60), names_of(60)
    repeated, notes = assign_repeated_folds(labels, cells, folds=3, repeats=4, seed=7)
    first, _ = assign_folds(labels, cells, folds=3, seed=7)
    np.testing.assert_array_equal(repeated[0], first)
    assert len(np.unique(repeated, axis=0)) == 4
    assert notes == []


def test_repeats_that_cannot_differ_are_named():
    groups = np.array([f"d{i % 3}" for i in range(60)], dtype=object)
    _, notes = assign_repeated_folds(
        labels_of(60), names_of(60), folds=3, repeats=3, seed=0, groups=groups
    )
    assert notes[-1]["id"] == "repeats-equal"
    assert notes[-1]["text"].startswith("2 of 3 repeats")


def test_each_group_is_left_out_in_the_order_of_names():
    groups = np.array(["z", "b", "a", "b"] * 10, dtype=object)
    labels = np.repeat(["x", "y"], 20).astype(object)
    fold, members, notes = assign_groups(labels, names_of(40), groups=groups)
    assert members == [["a"], ["b"], ["z"]]
    for number, (name,) in enumerate(members, start=1):
        np.testing.assert_array_equal(fold == number, groups == name)
    assert notes == []


def test_groups_that_share_a_cell_are_left_out_together():
    groups = np.array(["z", "b", "a", "b"] * 10, dtype=object)
    matrix = np.arange(1.0, 41)[:, None]
    matrix[0] = matrix[2]  # z and a
    _, members, notes = assign_groups(
        np.repeat(["x", "y"], 20).astype(object), names_of(40), groups=groups, matrices=[matrix]
    )
    assert members == [["a", "z"], ["b"]]
    assert {note["id"] for note in notes} == {"equal-cells", "groups-joined"}


def test_one_group_cannot_be_left_out():
    with pytest.raises(InputError, match="1 separate group, fewer than the 2") as caught:
        assign_groups(labels_of(10), names_of(10), groups=np.array(["a"] * 10, dtype=object))
    assert caught.value.id == "E_CONFIG"


def test_cells_of_zeros_do_not_tie_donors_together():
    groups = np.array(["x", "y", "z", "w"] * 10, dtype=object)
    counts = sparse.csr_matrix(np.arange(40)[:, None] * (np.arange(40) > 3)[:, None])
    _, members, notes = assign_groups(
        labels_of(40, "aabb"), names_of(40), groups=groups, matrices=[counts]
    )
    assert len(members) == 4
    assert notes == [] or {note["id"] for note in notes} == {"class-in-one-fold"}

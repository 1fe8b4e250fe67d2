from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidocell.counts.celltable import CellTable
from aidocell.counts.subset import choose_cells
from aidocell.errors import InputError


def table(labels) -> pd.DataFrame:
    names = [f"cell{i:03d}" for i in range(len(labels))]
    return pd.DataFrame({"label": pd.Series(list(labels), index=names, dtype=object)})


def choose(cells, *, number, balance, seed) -> list[str]:
    every = np.ones(len(cells), bool)
    chosen = choose_cells(CellTable.of(cells), every, number=number, balance=balance, seed=seed)
    return cells.index[chosen].tolist()


def drawn(cells, number, *, balance="label", seed=0) -> Counter:
    chosen = choose(cells, number=number, balance=balance, seed=seed)
    assert len(set(chosen)) == len(chosen)
    return Counter(cells.loc[chosen, "label"])


def test_classes_share_evenly_where_their_numbers_allow():
    assert drawn(table("a" * 50 + "b" * 30 + "c" * 20), 30) == {"a": 10, "b": 10, "c": 10}


def test_what_a_small_class_lacks_goes_to_the_others():
    assert drawn(table("a" * 50 + "b" * 50 + "c" * 2), 32) == {"a": 15, "b": 15, "c": 2}


def test_a_number_that_does_not_divide_is_met_all_the_same():
    shares = drawn(table("a" * 50 + "b" * 50 + "c" * 50), 32)
    assert sorted(shares.values()) == [10, 11, 11]


def test_more_than_there_are_is_all_of_them():
    cells = table("aab")
    assert choose(cells, number=99, balance="label", seed=0) == cells.index.tolist()
    assert choose(cells, number=99, balance=None, seed=0) == cells.index.tolist()


def test_without_a_column_all_cells_are_alike():
    cells = table("a" * 999 + "b")
    chosen = choose(cells, number=10, balance=None, seed=0)
    assert len(chosen) == 10
    assert chosen != cells.index[:10].tolist()


def test_cells_without_a_label_are_left_out():
    cells = table(["a", "", None, np.nan, " ", "b"])
    assert choose(cells, number=9, balance="label", seed=0) == ["cell000", "cell005"]


def test_labels_may_be_numbers_or_categories():
    cells = table([1, 1, 2, 2])
    assert drawn(cells, 2) == {1: 1, 2: 1}
    cells["label"] = cells["label"].astype("category")
    assert drawn(cells, 2) == {1: 1, 2: 1}


def test_a_category_without_cells_takes_no_share():
    cells = table("aabb")
    cells["label"] = pd.Categorical(cells["label"], categories=["a", "b", "none"])
    assert drawn(cells, 4) == {"a": 2, "b": 2}


def test_the_draw_depends_on_seed_and_names_and_not_on_the_order_of_cells():
    cells = table("a" * 40 + "b" * 40)
    turned = cells.sample(frac=1, random_state=1)
    one = choose(cells, number=20, balance="label", seed=7)
    assert choose(cells, number=20, balance="label", seed=7) == one
    assert sorted(choose(turned, number=20, balance="label", seed=7)) == sorted(one)
    assert choose(cells, number=20, balance="label", seed=8) != one


def test_cells_come_in_their_order():
    turned = table("a" * 40 + "b" * 40).sample(frac=1, random_state=1)
    chosen = choose(turned, number=20, balance="label", seed=0)
    assert chosen == [name for name in turned.index if name in set(chosen)]


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(InputError, match=r"E_LABEL_MISSING.*'type' \(columns: label\).*subset"):
        choose(table("ab"), number=1, balance="type", seed=0)
    with pytest.raises(InputError, match=r"\(columns: none\)"):
        choose(table("ab")[[]], number=1, balance="type", seed=0)


def test_an_empty_column_is_refused():
    with pytest.raises(InputError, match=r"E_LABEL_MISSING.*'label' is empty"):
        choose(table(["", None]), number=1, balance="label", seed=0)


def test_only_kept_cells_are_drawn():
    cells = table("aaabbb")
    kept = np.array([True, False, True, True, False, True])
    chosen = choose_cells(CellTable.of(cells), kept, number=9, balance="label", seed=0)
    assert chosen.tolist() == kept.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 100))
def test_shares_are_as_even_as_the_classes_allow(sizes, number):
    cells = table([label for label, size in enumerate(sizes) for _ in range(size)])
    shares = drawn(cells, number)
    assert sum(shares.values()) == min(number, sum(sizes))
    largest = max(shares.values())
    for label, size in enumerate(sizes):
        assert shares[label] in (size, largest, largest - 1)
        assert shares[label] >= min(size, largest - 1)

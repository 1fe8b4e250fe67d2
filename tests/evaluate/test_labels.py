import numpy as np
import pandas as pd
import pytest

from aidocell.errors import InputError
from aidocell.evaluate.labels import clean_labels, select_cells


def labels_of(sizes):
    return np.concatenate([np.full(n, name, dtype=object) for name, n in sizes.items()])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["B", None, "", "  ", "\t", "T cell"], ["B", "", "", "", "", "T cell"]),
        ([1, 2, 1], ["1", "2", "1"]),
        ([1.0, np.nan, 0.5], ["1", "", "0.5"]),
        (np.array([1, 2], dtype=np.int8), ["1", "2"]),
        ([True, False], ["True", "False"]),
        (pd.Categorical(["b", None, "a"], categories=["a", "b", "never"]), ["b", "", "a"]),
        (pd.Series([3, None], dtype="Int64"), ["3", ""]),
        (pd.Series(["x", pd.NA], dtype="string"), ["x", ""]),
        (["nan", "NaN", "NA", "<NA>", "None"], [""] * 5),
        (["Nan's cells", "naive"], ["Nan's cells", "naive"]),
    ],
)
def test_labels_become_text_and_missing_ones_are_empty(values, expected):
    assert clean_labels(values).tolist() == expected


def test_cells_without_label_are_left_out_and_counted():
    selection = select_cells(np.array(["a", "", "b", "a", ""], dtype=object))
    assert selection.keep.tolist() == [True, False, True, True, False]
    assert selection.unlabelled == 2
    assert [w["text"] for w in selection.warnings()] == ["left out: 2 cells without a label"]


def test_cells_without_group_are_left_out_and_counted():
    labels, groups = (np.array(v, dtype=object) for v in (["a", "b", "", "b"], ["x", "", "", "y"]))
    selection = select_cells(labels, groups=groups)
    assert selection.keep.tolist() == [True, False, False, True]
    assert (selection.unlabelled, selection.ungrouped) == (1, 1)


def test_small_classes_are_dropped_only_when_asked():
    labels = labels_of({"a": 5, "b": 5, "rare": 2})
    assert select_cells(labels).dropped == {}
    selection = select_cells(labels, min_cells_per_class=3, folds=5)
    assert selection.dropped == {"rare": 2}
    assert (selection.rare, selection.keep.sum()) == (2, 10)
    assert "'rare' (2)" in selection.warnings()[0]["text"]


def test_a_class_smaller_than_the_folds_is_named_with_the_option_that_drops_it():
    with pytest.raises(InputError) as caught:
        select_cells(labels_of({"a": 5, "b": 4}), folds=5)
    assert caught.value.id == "E_LABEL_CLASSES"
    assert "'b' (4)" in caught.value.what
    assert "'a'" not in caught.value.what
    assert "--min-cells-per-class 5" in caught.value.fix


@pytest.mark.parametrize("options", [{}, {"min_cells_per_class": 3}])
def test_one_class_is_refused(options):
    sizes = {"only": 9} if not options else {"only": 9, "rare": 2}
    with pytest.raises(InputError, match="1 class, 'only'") as caught:
        select_cells(labels_of(sizes), **options)
    assert caught.value.id == "E_LABEL_CLASSES"


def test_no_label_at_all_is_refused():
    with pytest.raises(InputError) as caught:
        select_cells(clean_labels(["", None, np.nan]))
    assert caught.value.id == "E_LABEL_MISSING"


def test_classes_that_are_all_too_small_are_listed():
    with pytest.raises(
        InputError, match="0 classes; left out as too small: 'a' \\(2\\), 'b' \\(2\\)"
    ):
        select_cells(labels_of({"a": 2, "b": 2}), min_cells_per_class=3)

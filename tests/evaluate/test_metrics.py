import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score

from aidocell.evaluate import metrics
from aidocell.evaluate.metrics import compare, confusion, per_class, summary_metrics


def random_calls(n, *, seed, right=0.7, classes=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, n).astype(object)
    predicted = np.where(rng.random(n) < right, true, rng.choice(classes, n)).astype(object)
    return true, predicted


def test_figures_are_those_counted_by_hand():
    true = np.array(["a", "a", "a", "b", "b", "c"], dtype=object)
    predicted = np.array(["a", "a", "b", "b", "b", "b"], dtype=object)
    values = summary_metrics(true, predicted, seed=0).set_index("metric")["value"]
    # F1: a 2·2/(3+2), b 2·2/(2+4), c 0
    assert values["macro_f1"] == pytest.approx((4 / 5 + 4 / 6 + 0) / 3)
    assert values["accuracy"] == pytest.approx(4 / 6)
    table = per_class(true, predicted, ["a", "b", "c"], seed=0).set_index("label")
    assert table["support"].tolist() == [3, 2, 1]
    assert table["precision"].tolist() == [1, 0.5, 0]
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1, 0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_bootstrap_formulas_equal_scikit_learn_on_the_same_cells(seed):
    true, predicted = random_calls(30, seed=seed)
    codes, classes = metrics._codes(true, [predicted])
    drawn = metrics._Draws(codes, len(classes), seed=0, draws=1)
    every_cell_once = metrics._tallies(codes[0][:, None], len(classes)).sum(axis=0)
    drawn._drawn = every_cell_once.reshape(1, 3, 1, len(classes))
    assert drawn.macro_f1(0)[0] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert drawn.accuracy(0)[0] == pytest.approx(accuracy_score(true, predicted))
    expected = precision_score(true, predicted, average=None, labels=classes, zero_division=0)
    np.testing.assert_allclose(drawn.precision(0)[0], expected)


def test_drawing_counts_is_drawing_cells():
    true, predicted = random_calls(200, seed=1)
    table = summary_metrics(true, predicted, seed=0, draws=4000).set_index("metric")
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 200, (4000, 200))
    for metric, function in {
        "accuracy": accuracy_score,
        "macro_f1": lambda t, p: f1_score(t, p, average="macro"),
    }.items():
        sample = [function(true[rows], predicted[rows]) for rows in draws[:1500]]
        low, high = np.percentile(sample, [2.5, 97.5])
        assert table.loc[metric, "low"] == pytest.approx(low, abs=0.012)
        assert table.loc[metric, "high"] == pytest.approx(high, abs=0.012)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        true = rng.choice(["a", "b"], 300).astype(object)
        other = np.where(true == "a", "b", "a").astype(object)
        predicted = np.where(rng.random(300) < 0.8, true, other)
        row = summary_metrics(true, predicted, seed=0, draws=400).set_index("metric")
        covered += row.loc["accuracy", "low"] <= 0.8 <= row.loc["accuracy", "high"]
    assert 180 <= covered <= 199


def test_intervals_hold_the_value_and_do_not_depend_on_cell_order():
    true, predicted = random_calls(100, seed=2)
    table = summary_metrics(true, predicted, seed=0)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    order = np.random.default_rng(0).permutation(100)
    assert summary_metrics(true[order], predicted[order], seed=0).equals(table)
    again = per_class(true[order], predicted[order], ["a", "b", "c"], seed=0)
    assert per_class(true, predicted, ["a", "b", "c"], seed=0).equals(again)


def test_perfect_calls_have_an_interval_of_no_width():
    true = np.array(["a", "b"] * 10, dtype=object)
    table = summary_metrics(true, true, seed=0)
    assert table[["value", "low", "high"]].to_numpy().tolist() == [[1, 1, 1]] * 3


def test_a_rare_class_has_a_wide_interval_and_no_missing_one():
    true = np.array(["a"] * 98 + ["rare"] * 2, dtype=object)
    predicted = np.array(["a"] * 99 + ["rare"], dtype=object)
    row = per_class(true, predicted, ["a", "rare"], seed=0).set_index("label").loc["rare"]
    assert (row["recall"], row["recall_low"], row["recall_high"]) == (0.5, 0, 1)


def test_a_class_without_cells_has_no_recall_and_one_never_met_no_f1():
    true = np.array(["a"] * 6, dtype=object)
    predicted = np.array(["a"] * 5 + ["called"], dtype=object)
    table = per_class(true, predicted, ["a", "called", "never"], seed=0, draws=20)
    rows = table.set_index("label")
    assert rows["support"].tolist() == [6, 0, 0]
    assert rows["recall"].isna().tolist() == [False, True, True]
    assert rows["precision"].tolist() == [1, 0, 0]
    assert rows.loc["called", "f1"] == 0
    assert np.isnan(rows.loc["never", "f1"])


def test_confusion_has_every_pair_and_every_cell():
    true, predicted = random_calls(50, seed=3)
    table = confusion(true, predicted, ["a", "b", "c"])
    expected = confusion_matrix(true, predicted, labels=["a", "b", "c"])
    assert table["cells"].tolist() == expected.ravel().tolist()
    assert table.iloc[1][["true", "predicted"]].tolist() == ["a", "b"]


def test_a_method_does_not_differ_from_itself():
    true, predicted = random_calls(60, seed=4)
    table = compare(true, predicted, predicted, seed=0)
    assert table[["difference", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]] * 3


def test_paired_comparison_is_signed_and_sharper_than_two_intervals():
    true, worse = random_calls(400, seed=5, right=0.6)
    better = worse.copy()
    better[:40] = true[:40]
    table = compare(true, better, worse, seed=0).set_index("metric")
    mirrored = compare(true, worse, better, seed=0).set_index("metric")
    accuracy = table.loc["accuracy"]
    assert accuracy["difference"] == pytest.approx(
        accuracy_score(true, better) - accuracy_score(true, worse)
    )
    assert accuracy["low"] > 0
    assert mirrored.loc["accuracy", "difference"] == pytest.approx(-accuracy["difference"])
    single = summary_metrics(true, better, seed=0).set_index("metric").loc["accuracy"]
    assert accuracy["high"] - accuracy["low"] < (single["high"] - single["low"]) / 1.5


def test_repeated_predictions_count_each_and_are_drawn_by_cell():
    true, first = random_calls(60, seed=3)
    _, second = random_calls(60, seed=4)
    both = np.column_stack([first, second])
    table = summary_metrics(true, both, seed=0, draws=3000).set_index("metric")
    twice = np.concatenate([true, true]), np.concatenate([first, second])
    assert table.loc["macro_f1", "value"] == pytest.approx(f1_score(*twice, average="macro"))
    assert per_class(true, both, ["a", "b", "c"], seed=0)["support"].sum() == 60
    rng = np.random.default_rng(0)
    sample = []
    for rows in rng.integers(0, 60, (1500, 60)):
        sample.append(accuracy_score(np.tile(true[rows], 2), both[rows].T.ravel()))
    low, high = np.percentile(sample, [2.5, 97.5])
    assert table.loc["accuracy", "low"] == pytest.approx(low, abs=0.02)
    assert table.loc["accuracy", "high"] == pytest.approx(high, abs=0.02)


def test_the_same_predictions_twice_make_no_interval_narrower():
    true, predicted = random_calls(60, seed=3)
    once = summary_metrics(true, predicted, seed=0)
    twice = summary_metrics(true, np.column_stack([predicted] * 2), seed=0)
    pd.testing.assert_frame_equal(once, twice)

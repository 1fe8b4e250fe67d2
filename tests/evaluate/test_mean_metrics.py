"""Means of figures over the runs of a method, with one interval."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from aidocell.evaluate.metrics import mean_metrics, summary_metrics


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    true = rng.choice(["a", "b", "c"], 120, p=[0.6, 0.3, 0.1]).astype(object)
    wrong = rng.choice(["a", "b", "c"], (120, 3)).astype(object)
    kept = rng.random((120, 3)) < [0.9, 0.8, 0.7]
    return true, np.where(kept, true[:, None], wrong)


def test_figures_are_the_means_of_scikit_learns_over_runs(runs):
    true, predicted = runs
    table = mean_metrics(true, predicted, seed=0, draws=50).set_index("metric")
    for name, score in {
        "macro_f1": lambda t, p: f1_score(t, p, average="macro"),
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
    }.items():
        values = [score(true, run) for run in predicted.T]
        assert table.loc[name, "value"] == pytest.approx(np.mean(values))
        assert table.loc[name, "spread"] == pytest.approx(np.std(values, ddof=1))
        assert table.loc[name, "low"] < np.mean(values) < table.loc[name, "high"]


def test_one_run_is_as_it_is_alone(runs):
    true, predicted = runs
    found = mean_metrics(true, predicted[:, :1], seed=4, draws=60)
    alone = summary_metrics(true, predicted[:, 0], seed=4, draws=60)
    pd.testing.assert_frame_equal(found.drop(columns="spread"), alone)
    assert found["spread"].isna().all()


def test_equal_runs_have_the_interval_of_one_and_no_spread(runs):
    true, predicted = runs
    same = np.repeat(predicted[:, :1], 3, axis=1)
    found = mean_metrics(true, same, seed=4, draws=60)
    alone = summary_metrics(true, predicted[:, 0], seed=4, draws=60)
    np.testing.assert_allclose(found[["low", "high"]], alone[["low", "high"]])
    assert (found["spread"] == 0).all()

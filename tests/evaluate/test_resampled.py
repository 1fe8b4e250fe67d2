import numpy as np
import pytest
from scipy import stats

from aidocell.evaluate.resampled import mean_over_folds


def test_the_interval_equals_the_formula_by_hand():
    values = [0.70, 0.80, 0.75, 0.85]
    mean, low, high = mean_over_folds(values, [75] * 4, [25] * 4)
    spread = sum((v - 0.775) ** 2 for v in values) / 3
    half = 3.182446 * (spread * (1 / 4 + 25 / 75)) ** 0.5  # t of 3 degrees of freedom
    assert mean == pytest.approx(0.775)
    assert (low, high) == pytest.approx((0.775 - half, 0.775 + half), abs=1e-6)


def test_without_overlap_it_would_be_the_usual_interval():
    values = np.random.default_rng(0).normal(0.8, 0.05, 10)
    _, low, high = mean_over_folds(values, [10**12] * 10, [1] * 10)
    usual = stats.t.interval(0.95, 9, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(usual)


def test_folds_that_agree_have_an_interval_of_no_width():
    assert mean_over_folds([0.5, 0.5], [4, 4], [4, 4]) == (0.5, 0.5, 0.5)

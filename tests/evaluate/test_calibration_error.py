import numpy as np
import pytest

from aidocell.evaluate.calibration import (
    BINS,
    calibration_curve,
    calibration_error,
    expected_calibration_error,
)


def test_the_error_is_that_counted_by_hand():
    # bins of a fifteenth: two cells in (14/15, 1], one in (9/15, 10/15], one in (4/15, 5/15]
    confidence = np.array([0.95, 1.0, 0.65, 0.3])
    right = np.array([True, False, True, True])
    by_hand = (2 * abs(0.975 - 0.5) + abs(0.65 - 1) + abs(0.3 - 1)) / 4
    assert expected_calibration_error(confidence, right) == pytest.approx(by_hand)


def test_a_bin_holds_its_upper_edge():
    curve = calibration_curve(np.array([0.2, 1 / 3, 0.0, 1.0]), np.ones(4, bool))
    assert np.flatnonzero(curve["cells"]).tolist() == [0, 2, 4, BINS - 1]
    assert curve["cells"].sum() == 4
    assert np.isnan(curve["accuracy"][1])


def test_probabilities_that_come_true_as_often_as_they_say_have_a_small_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 20_000)
    honest = calibration_error(confidence, rng.random(20_000) < confidence, seed=0, draws=100)
    certain = calibration_error(np.ones(20_000), rng.random(20_000) < 0.7, seed=0, draws=100)
    assert honest[0] < 0.02
    assert certain[0] == pytest.approx(0.3, abs=0.02)
    assert certain[1] < certain[0] < certain[2]


def test_the_order_of_cells_does_not_matter():
    rng = np.random.default_rng(1)
    confidence, right = rng.uniform(0.3, 1, (50, 2)), rng.random((50, 2)) < 0.7
    order = rng.permutation(50)
    first = calibration_error(confidence, right, seed=0, draws=50)
    second = calibration_error(confidence[order], right[order], seed=0, draws=50)
    assert first == pytest.approx(second, rel=1e-12)


def test_a_cell_predicted_twice_alike_makes_no_interval_narrower():
    rng = np.random.default_rng(2)
    confidence, right = rng.uniform(0.3, 1, 60), rng.random(60) < 0.6
    twice = np.column_stack([confidence] * 2), np.column_stack([right] * 2)
    once = calibration_error(confidence, right, seed=0, draws=50)
    assert calibration_error(*twice, seed=0, draws=50) == pytest.approx(once)

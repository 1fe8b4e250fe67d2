"""One temperature mends over-confident probabilities, and changes no cell's class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from aidocell.evaluate.calibration import expected_calibration_error
from aidocell.tasks.calibration import calibrate, tempered

CLASSES = np.array(["a", "b", "c"], dtype=object)


def drawn(cells, *, sharper=1.0, seed=0):
    """Probabilities, made sharper than they should be, and labels drawn from the true ones."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(scale=1.5, size=(cells, 3))
    true = softmax(scores, axis=1)
    codes = (generator.random(cells)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    return softmax(scores * sharper, axis=1), CLASSES[codes]


def test_over_confident_probabilities_get_the_temperature_that_was_taken_from_them():
    probabilities, labels = drawn(4000, sharper=3.0)
    found = calibrate(probabilities, labels, CLASSES)
    assert found["temperature"] == pytest.approx(3.0, rel=0.1)
    assert found["ece_after"] < 0.03 < found["ece_before"]


def test_calibrated_probabilities_are_left_as_they_are():
    probabilities, labels = drawn(4000)
    assert calibrate(probabilities, labels, CLASSES)["temperature"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_no_class_changes_and_rows_sum_to_one(temperature):
    probabilities, _ = drawn(200)
    mended = tempered(probabilities, temperature)
    np.testing.assert_array_equal(mended.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(mended.sum(1), 1)


def test_a_few_cells_that_were_all_called_right_make_no_later_cell_certain():
    probabilities = np.full((6, 3), 0.15) + 0.55 * np.eye(3)[[0, 1, 2, 0, 1, 2]]
    found = calibrate(probabilities, CLASSES[[0, 1, 2, 0, 1, 2]], CLASSES)
    assert tempered(probabilities, found["temperature"]).max() < 0.95


def test_the_error_afterwards_is_of_cells_that_did_not_choose_the_temperature():
    probabilities, labels = drawn(200, sharper=3.0)
    found = calibrate(probabilities, labels, CLASSES)
    on_itself = tempered(probabilities, found["temperature"])
    right = CLASSES[on_itself.argmax(1)] == labels
    assert found["ece_after"] != expected_calibration_error(on_itself.max(1), right)
    right = CLASSES[probabilities.argmax(1)] == labels
    assert found["ece_before"] == expected_calibration_error(probabilities.max(1), right)

import numpy as np
import pytest

from aidocell.evaluate.draw import draw_cells

LABELS = np.repeat(np.array(["B", "NK", "T", "rare"], dtype=object), [600, 300, 96, 4])


def sizes(drawn):
    return dict(zip(*np.unique(LABELS[drawn], return_counts=True), strict=True))


def test_few_cells_are_all_taken():
    assert draw_cells(LABELS, 1000, seed=0).all()


def test_every_class_keeps_its_share_and_a_small_one_its_cells():
    drawn = draw_cells(LABELS, 200, seed=0, at_least=3)
    assert drawn.sum() == 200
    found = sizes(drawn)
    assert found["rare"] >= 3
    assert abs(found["B"] - 120) <= 4
    assert abs(found["NK"] - 60) <= 4


def test_the_least_of_each_class_comes_before_the_number_to_draw():
    assert sizes(draw_cells(LABELS, 10, seed=0, at_least=5)) == {"B": 5, "NK": 5, "T": 5, "rare": 4}


@pytest.mark.parametrize("most", [17, 100, 999])
def test_a_draw_is_the_same_for_the_same_seed_alone(most):
    first, again, other = (draw_cells(LABELS, most, seed=seed) for seed in (1, 1, 2))
    assert first.sum() == other.sum() == most
    assert (first == again).all()
    assert (first != other).any()

"""Cells that lie far from the training cells are noticed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from aidocell.tasks.annotate import evaluate_labelled
from aidocell.tasks.heldout import held_out
from aidocell.tasks.labelled import select
from aidocell.tasks.similarity import distances, learn_similarity, whitened_classes


def learned(labels, names, embeddings):
    labelled = select(labels, names, embeddings=embeddings)
    judged = evaluate_labelled(labelled, methods=["majority"], folds=3, draws=2)
    return learn_similarity(held_out(judged, "majority", labelled), labelled)[:2]


def test_the_distance_is_mahalanobis_from_the_nearest_class(toy):
    arrays = whitened_classes(toy.embeddings, toy.labels)
    X = toy.embeddings.astype(np.float64)
    means = {name: X[toy.labels == name].mean(axis=0) for name in ("B", "NK", "T")}
    within = X - np.array([means[name] for name in toy.labels])
    scale = within.std(axis=0)
    shrunk = LedoitWolf(assume_centered=True).fit(within / scale).covariance_
    inverse = np.linalg.inv(shrunk * np.outer(scale, scale))
    expected = [min(mahalanobis(x, mean, inverse) for mean in means.values()) for x in X[:10]]
    np.testing.assert_allclose(distances(arrays, toy.embeddings[:10]), expected)


def test_one_in_a_hundred_of_the_cells_held_out_is_beyond_the_unit(make_toy):
    toy = make_toy(300)
    arrays, similarity = learned(toy.labels, toy.cells, toy.embeddings)
    new = make_toy(300, seed=5).embeddings
    assert (distances(arrays, new) > similarity["unit"]).mean() < 0.05
    assert 0.2 < similarity["median"] < 1


@pytest.mark.parametrize("change", [lambda x: 3 * x, lambda x: x + 40, lambda x: -x])
def test_embeddings_of_another_scale_are_far(toy, make_toy, change):
    arrays, similarity = learned(toy.labels, toy.cells, toy.embeddings)
    far = distances(arrays, change(make_toy(seed=1).embeddings)) > similarity["unit"]
    assert far.mean() > 0.5


def test_a_direction_in_which_no_training_cell_differed_is_noticed(toy):
    flat = np.column_stack([toy.embeddings, np.zeros(len(toy.cells))]).astype(np.float32)
    arrays, similarity = learned(toy.labels, toy.cells, flat)
    assert (distances(arrays, flat) < 2 * similarity["unit"]).all()
    flat[:, -1] = 50
    assert (distances(arrays, flat) > similarity["unit"]).all()


def test_equal_embeddings_of_all_cells_are_no_error(toy):
    same = np.ones((len(toy.cells), 4), dtype=np.float32)
    arrays = whitened_classes(same, toy.labels)
    assert np.isfinite(distances(arrays, same)).all()


@pytest.mark.parametrize("stranger", ["B", "CD14 Monocytes"])
def test_blood_cells_of_a_type_that_was_left_out_are_far_and_the_others_are_not(blood, stranger):
    labels, names, embeddings = (part[:700] for part in blood)
    known = (labels != stranger) & (np.arange(700) < 500)
    frequent = np.isin(labels, ["CD4 T", "CD8 T", "CD14 Monocytes", "B", "NK"])
    arrays, similarity = learned(*(x[known & frequent] for x in (labels, names, embeddings)))
    far = distances(arrays, embeddings) > similarity["unit"]
    assert far[labels == stranger].mean() > 0.5
    assert far[frequent & ~known & (labels != stranger)].mean() < 0.1

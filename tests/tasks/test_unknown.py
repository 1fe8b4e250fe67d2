"""Cells of a type that was never learned are told by their probability and their distance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.tasks.annotate import evaluate, evaluate_labelled
from aidocell.tasks.calibration import tempered
from aidocell.tasks.classifier import apply
from aidocell.tasks.heldout import held_out
from aidocell.tasks.labelled import select
from aidocell.tasks.similarity import distances, whitened_classes
from aidocell.tasks.train import train
from aidocell.tasks.unknown import choose_threshold, threshold_curve

NAMES = ["a", "b", "c", "d"]
GIVEN = {"method": "logistic", "calibration": {"temperature": 1.5, "floor": 1e-6}}
NONE_FAR = 1e6  # a unit of distance


def make_cells(*, classes=4, per_class=15, seed=0):
    """Embeddings of classes that lie around different points and overlap a little."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(NAMES[:classes], per_class).astype(object)
    centres = 2.5 * np.eye(8)[:classes]
    embeddings = np.repeat(centres, per_class, axis=0) + 0.6 * generator.normal(
        size=(len(labels), 8)
    )
    names = [f"cell{i:03d}" for i in range(len(labels))]
    return select(labels, names, embeddings=embeddings.astype(np.float32))


def chosen(labelled, *, distance=None, unit=NONE_FAR, **options):
    judged = evaluate_labelled(labelled, methods=["logistic"], folds=3, draws=2)
    held = held_out(judged, "logistic", labelled)
    distance = np.zeros(len(held.rows)) if distance is None else distance
    return choose_threshold(held, labelled, distance=distance, unit=unit, **GIVEN, **options), held


@pytest.fixture(scope="module")
def found():
    (unknown, notes), held = chosen(make_cells())
    assert notes == []
    return unknown, held


def test_held_out_classes_are_flagged_more_than_known_cells(found):
    unknown, _ = found
    assert unknown["flagged"] > 2 * (1 - unknown["coverage"])
    assert unknown["balanced_accuracy"] > 0.6
    assert all(row["flagged"] > 1 - row["coverage"] for row in unknown["classes"])


def test_known_cells_keep_their_label_as_often_as_was_asked(found):
    unknown, held = found
    sure = tempered(held.probabilities, 1.5).max(axis=1)
    assert unknown["coverage"] == (sure >= unknown["threshold"]).mean() >= 0.9
    assert unknown["accuracy"] == held.right[sure >= unknown["threshold"]].mean()


@pytest.mark.parametrize("known_coverage", [0.5, 0.75, 1.0])
def test_the_coverage_that_is_asked_for_is_kept(known_coverage):
    unknown = chosen(make_cells(), known_coverage=known_coverage)[0][0]
    assert unknown["coverage"] >= known_coverage
    assert unknown["known_coverage"] == known_coverage


def test_less_coverage_flags_no_fewer_strangers(found):
    unknown, _ = found
    whole = pd.DataFrame(unknown["curve"])
    curve = whole[~whole["far_is_unknown"]]
    assert curve["threshold"].is_monotonic_increasing
    assert curve["coverage"].is_monotonic_decreasing
    assert curve["flagged"].is_monotonic_increasing
    assert curve.iloc[0][["threshold", "coverage", "flagged"]].tolist() == [0, 1, 0]
    best = whole[whole["coverage"] >= 0.9]["balanced_accuracy"].max()
    assert unknown["balanced_accuracy"] == best


def test_a_held_out_class_is_met_by_a_classifier_that_never_saw_it(found):
    unknown, _ = found
    labelled = make_cells()
    method, out = METHODS["logistic"].module, labelled.labels == "c"
    fitted = method.fit(labelled.embeddings[~out], labelled.labels[~out], seed=0)
    sure = tempered(method.predict_proba(fitted, labelled.embeddings[out]), 1.5).max(axis=1)
    share = next(row["flagged"] for row in unknown["classes"] if row["class"] == "c")
    assert share == (sure < unknown["threshold"]).mean()


def test_how_many_cells_of_a_held_out_class_lie_far_is_told_beside_it():
    labelled = make_cells()
    unknown = chosen(labelled, unit=6.0)[0][0]
    out = labelled.labels == "c"
    others = whitened_classes(labelled.embeddings[~out], labelled.labels[~out])
    far = (distances(others, labelled.embeddings[out]) > 6.0).mean()
    assert next(row["far"] for row in unknown["classes"] if row["class"] == "c") == far


def make_confident(*, stranger):
    """Three classes and one between none of them: far away, or called with full confidence."""
    generator = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c", "d"], 40).astype(object)
    centres = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], stranger], dtype=float)
    embeddings = np.repeat(centres, 40, axis=0) + generator.normal(size=(160, 3))
    names = [f"cell{i:03d}" for i in range(160)]
    return select(labels, names, embeddings=embeddings.astype(np.float32))


def test_distance_counts_where_it_tells_strangers_that_probability_does_not():
    unknown = chosen(make_confident(stranger=[90, 0, 0]), unit=6.0)[0][0]
    assert unknown["far_is_unknown"] is True
    flagged = {row["class"]: row["flagged"] for row in unknown["classes"]}
    assert flagged["d"] == 1
    alone = [row for row in unknown["curve"] if not row["far_is_unknown"]]
    allowed = [row["balanced_accuracy"] for row in alone if row["coverage"] >= 0.9]
    assert unknown["balanced_accuracy"] > max(allowed)


def test_distance_does_not_count_where_known_cells_lie_as_far():
    labelled = make_confident(stranger=[9, 9, 0])
    everywhere = np.full(len(labelled.labels), 2.0)
    unknown = chosen(labelled, distance=everywhere, unit=6.0)[0][0]
    assert unknown["far_is_unknown"] is False
    assert unknown["coverage"] >= 0.9


def test_the_curve_by_hand():
    curve = threshold_curve(
        np.array([0.6, 0.7, 0.8, 0.9]),
        np.array(["a", "a", "b", "b"]),
        np.array([False, True, True, True]),
        {"a": np.array([0.5, 0.65]), "b": np.array([0.5])},
    ).set_index("threshold")
    assert curve.index.tolist() == [0, 0.6, 0.7, 0.8, 0.9]
    assert curve.loc[0.7, ["coverage", "flagged", "accuracy"]].tolist() == [0.75, 1, 1]
    assert curve.loc[0.6, "flagged"] == (0.5 + 1) / 2
    assert curve.loc[0.6, "balanced_accuracy"] == ((0.5 + 1) / 2 + (1 + 1) / 2) / 2
    assert curve.loc[0.6, "accuracy"] == 0.75


def test_two_classes_are_too_few_and_that_is_said():
    (unknown, notes), _ = chosen(make_cells(classes=2))
    assert unknown is None
    assert [note["id"] for note in notes] == ["no-threshold"]


def test_shuffled_labels_leave_no_way_to_tell_strangers():
    labelled = make_cells()
    shuffled = np.random.default_rng(1).permutation(labelled.labels)
    labelled = select(shuffled, labelled.cells, embeddings=labelled.embeddings)
    unknown = chosen(labelled)[0][0]
    assert abs(unknown["balanced_accuracy"] - 0.5) < 0.1


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(share):
    with pytest.raises(InputError) as caught:
        chosen(make_cells(), known_coverage=share)
    assert caught.value.id == "E_CONFIG"


def test_an_evaluation_of_other_cells_is_refused():
    judged = evaluate_labelled(make_cells(), methods=["logistic"], folds=3, draws=2)
    for cells, method in ((make_cells(per_class=10), "logistic"), (make_cells(), "knn")):
        with pytest.raises(InputError) as caught:
            held_out(judged, method, cells)
        assert caught.value.id == "E_CONFIG"


def test_cells_whose_class_no_fold_had_learned_are_left_out():
    labelled = make_cells()
    groups = np.where(labelled.labels == "d", "one", "some")
    groups = [f"{g}{i % 3 if g == 'some' else ''}" for i, g in enumerate(groups)]
    grouped = select(labelled.labels, labelled.cells, embeddings=labelled.embeddings, groups=groups)
    judged = evaluate_labelled(grouped, methods=["logistic"], folds=3, draws=2)
    assert set(held_out(judged, "logistic", labelled).labels) == {"a", "b", "c"}


@pytest.mark.parametrize("stranger", ["B", "NK"])
def test_most_blood_cells_of_a_type_that_was_left_out_are_unknown(blood, provenance, stranger):
    labels, names, embeddings = blood
    training = (np.arange(1500) < 900) & (labels != stranger)
    given = {"min_cells_per_class": 5}
    mine = labels[training], names[training]
    judged = evaluate(
        *mine, methods=["logistic"], embeddings=embeddings[training], draws=2, **given
    )
    options = {"method": "logistic", "label": "cell_type", "provenance": provenance}
    classifier = train(*mine, embeddings[training], evaluation=judged, **options, **given)
    table = apply(classifier, embeddings[900:], names[900:], provenance=provenance)
    unknown, new = table["unknown"].to_numpy(), labels[900:]
    assert unknown[new == stranger].mean() > 0.6
    assert unknown[np.isin(new, classifier.classes)].mean() < 0.15

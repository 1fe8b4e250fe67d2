"""What the report says of the classifier for new data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aidocell.errors import InputError
from aidocell.report.classifier import read_classifier
from aidocell.report.figures.unknown import coverage_curve
from aidocell.report.page import render
from aidocell.tasks.annotate import evaluate
from aidocell.tasks.classifier_folder import save_classifier
from aidocell.tasks.train import train

PROVENANCE = {
    "model": {"id": "some/model", "sha256": "1" * 64},
    "genes_sha256": "2" * 64,
    "options": {"pooling": "mean"},
}


def written(folder, names):
    """A classifier of cells in as many classes, with its folder."""
    generator = np.random.default_rng(0)
    labels = np.repeat(names, 15).astype(object)
    centres = np.repeat(2 * np.eye(4)[: len(names)], 15, axis=0)
    embeddings = (centres + generator.normal(size=centres.shape)).astype(np.float32)
    cells = [f"cell{i}" for i in range(len(labels))]
    judged = evaluate(labels, cells, methods=["logistic"], embeddings=embeddings, folds=3, draws=2)
    options = {"method": "logistic", "label": "type", "provenance": PROVENANCE}
    save_classifier(train(labels, cells, embeddings, evaluation=judged, **options), folder)
    return read_classifier(folder, {"sha256": "1" * 64})


def test_threshold_and_its_cost_are_shown_and_names_stay_text(made, tmp_path):
    content = written(tmp_path / "c", ["<script>a", "b", "c"])
    page = render(replace(made.study, classifier=content))
    assert "The classifier for new cells" in page
    assert "What calling cells unknown costs" in page
    assert "&lt;script&gt;a" in page
    assert "<script>a" not in page
    assert coverage_curve(content).body.count("<polyline") == 2


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"threshold": 0.5, "far_is_unknown": False}, "A cell less probable than 0.50 is called"),
        ({"threshold": 0.0, "far_is_unknown": True}, "A cell farther than distance 1 from every type is called"),
        (
            {"threshold": 0.5, "far_is_unknown": True},
            "A cell less probable than 0.50, or farther than distance 1 from every type, is called",
        ),
    ],
)  # fmt: skip
def test_the_rule_for_unknown_cells_is_a_sentence(made, tmp_path, rule, sentence):
    content = written(tmp_path / "c", ["a", "b", "c"])
    content = {**content, "unknown": {**content["unknown"], **rule}}
    page = " ".join(render(replace(made.study, classifier=content)).split())
    assert sentence in page


def test_of_two_classes_no_threshold_is_shown(made, tmp_path):
    content = written(tmp_path / "c", ["a", "b"])
    assert coverage_curve(content) is None
    assert "No cell is called unknown" in render(replace(made.study, classifier=content))


def test_a_study_without_one_has_none(tmp_path):
    assert read_classifier(tmp_path, {}) is None


def test_one_for_another_checkpoint_is_refused(tmp_path):
    written(tmp_path / "c", ["a", "b"])
    with pytest.raises(InputError) as caught:
        read_classifier(tmp_path / "c", {"sha256": "9" * 64})
    assert caught.value.id == "E_STORE_MISMATCH"

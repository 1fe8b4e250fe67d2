"""What the report reads of the judged methods."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from aidocell.baselines import METHODS, Method, Unavailable
from aidocell.report import render
from aidocell.report.annotation import Missing, read_annotation
from aidocell.report.figures.reliability import calibration_plot
from aidocell.tasks.annotate import evaluate, write_evaluation

REASON = "<script>no weights</script>"


class Failing(Method):
    """A method that cannot run."""

    @property
    def module(self):
        return self

    @staticmethod
    def fit(X, y, *, seed):
        raise Unavailable(REASON)


@pytest.fixture
def lacking(monkeypatch):
    method = Failing(file="none", needs="counts", title="what lacks its weights", package="theirs")
    monkeypatch.setitem(METHODS, "lacking", method)
    return "lacking"


def written(folder, methods, **options):
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b"] * 20, dtype=object)
    counts = sparse.csr_matrix(rng.poisson(np.where(labels == "a", 2, 5)[:, None], (40, 30)))
    names = [f"s:c{i:02d}" for i in range(40)]
    result = evaluate(labels, names, methods=methods, counts=counts, folds=2, draws=20, **options)
    write_evaluation(result, folder)
    return result


def test_what_could_not_run_is_kept_apart_with_its_reason(tmp_path, lacking):
    written(tmp_path / "a", ["majority", lacking])
    annotation = read_annotation(tmp_path / "a")
    assert [m.name for m in annotation.methods] == ["majority"]
    assert [(m.name, m.reason) for m in annotation.missing] == [(lacking, REASON)]


def test_a_study_in_which_nothing_ran_can_be_read(tmp_path, lacking):
    written(tmp_path / "a", [lacking])
    annotation = read_annotation(tmp_path / "a")
    assert annotation.methods == ()
    assert annotation.best is None
    assert len(annotation.missing) == 1


def test_of_repeats_each_cell_is_shown_once_and_every_prediction_counts(tmp_path):
    result = written(tmp_path / "a", ["genes-logistic"], repeats=3)
    annotation = read_annotation(tmp_path / "a")
    (method,) = annotation.methods
    assert annotation.repeats == 3
    assert annotation.predictions.index.is_unique
    first = result.predictions.query("fold <= 2").set_index("cell")["predicted"]
    assert annotation.predictions["predicted"].to_dict() == first.to_dict()
    assert sum(method.confusion.values()) == sum(bin.cells for bin in method.curve) == 120
    assert annotation.cells == 40
    row = result.metrics.query("fold == 'mean' and metric == 'macro_f1'").iloc[0]
    assert (method.mean.value, method.mean.low) == pytest.approx((row["value"], row["low"]))


def test_the_curve_is_drawn_with_its_error(tmp_path):
    result = written(tmp_path / "a", ["genes-logistic"])
    (method,) = read_annotation(tmp_path / "a").methods
    figure = calibration_plot(method)
    assert str(figure.body).count("<circle") == len(method.curve) > 0
    assert "calibration error" in figure.caption
    curve = result.calibration.query("cells > 0")
    assert [bin.accuracy for bin in method.curve] == pytest.approx(curve["accuracy"].tolist())


def test_the_page_says_what_could_not_run_and_how_sure_the_rest_is(made):
    missing = (Missing("lacking", "what lacks its weights", REASON),)
    text = render(replace(made.study, annotation=replace(made.study.annotation, missing=missing)))
    assert "unavailable: &lt;script&gt;no weights" in text
    assert REASON not in text
    assert text.count("Are its probabilities to be believed") >= 1
    assert "Mean over folds" in text

from dataclasses import replace

import pytest

from aidocell.report.annotation import Annotation, ClassFigures, Comparison, Estimate, MethodFigures
from aidocell.report.page import SECTIONS
from aidocell.report.sentences import what_to_know

NONE = Estimate(None)


def _method(name, macro, *, embedding, classes=()):
    metrics = {"macro_f1": Estimate(*macro)}
    return MethodFigures(name, f"title of {name}", embedding, metrics, tuple(classes), {})


def _annotation(made, difference, *, swapped=False):
    dendritic = ClassFigures("dendritic", 36, NONE, Estimate(0.61, 0.45, 0.76), NONE)
    rare = ClassFigures("rare", 0, NONE, NONE, NONE)
    pair = ("genes-logistic", "logistic") if swapped else ("logistic", "genes-logistic")
    return Annotation(
        methods=(
            _method("logistic", (0.83, 0.80, 0.86), embedding=True, classes=[dendritic, rare]),
            _method("genes-logistic", (0.81, 0.77, 0.84), embedding=False),
            _method("majority", (0.1, 0.1, 0.1), embedding=False),
        ),
        comparisons=(Comparison(*pair, "macro_f1", Estimate(*difference)),),
        labels=("dendritic", "rare"),
        predictions=made.study.annotation.predictions,
        summary={},
    )


def _texts(study):
    return [s.text for s in what_to_know(study)]


def _about_types(made, difference, **options):
    study = replace(made.study, annotation=_annotation(made, difference, **options))
    return next(s for s in what_to_know(study) if s.text.startswith("Cell types"))


def test_there_are_three_to_six_sentences_and_the_worst_come_first(made):
    sentences = what_to_know(made.study)
    levels = [("fail", "warn", "pass").index(s.level) for s in sentences]
    assert 3 <= len(sentences) <= 6
    assert levels == sorted(levels)
    assert sentences[0].text == "1 of 3 samples refused: spleen (E_NOT_COUNTS)."
    assert {s.section for s in sentences} <= set(SECTIONS)


def test_cells_kept_are_told_with_the_commonest_reason(made):
    text = next(t for t in _texts(made.study) if "kept;" in t)
    assert text == ("300 of 304 cells kept; 4 left out, 2 of them for fewer than 200 genes.")


def test_a_difference_that_may_be_zero_is_no_clear_difference(made):
    sentence = _about_types(made, (0.02, -0.01, 0.05))
    assert sentence.level == "pass"
    assert sentence.text == (
        "Cell types: macro-F1 0.83 (0.80 to 0.86) from the embedding (logistic); "
        "the same classifier on plain genes: 0.81 (0.77 to 0.84), no clear difference."
    )


def test_the_report_says_plainly_where_the_simple_method_is_better(made):
    sentence = _about_types(made, (-0.05, -0.07, -0.03))
    assert sentence.level == "warn"
    assert "better than the embedding by 0.05 (0.03 to 0.07)" in sentence.text


def test_a_simple_method_that_is_worse_is_said_to_be(made):
    assert "worse by 0.05 (0.03 to 0.07)" in _about_types(made, (0.05, 0.03, 0.07)).text


@pytest.mark.parametrize("difference", [(0.05, 0.03, 0.07), (-0.05, -0.07, -0.03), (0, -0.1, 0.1)])
def test_the_direction_of_a_comparison_in_the_table_does_not_matter(made, difference):
    value, low, high = difference
    swapped = _about_types(made, (-value, -high, -low), swapped=True)
    assert swapped == _about_types(made, difference)


def test_the_least_certain_type_has_its_recall_and_support(made):
    study = replace(made.study, annotation=_annotation(made, (0, -1, 1)), samples=())
    assert "Least certain: dendritic, recall 0.61 (0.45 to 0.76), 36 cells." in _texts(study)


def test_a_study_without_results_says_nothing(made):
    empty = replace(made.study, samples=(), annotation=None, cells=None)
    assert what_to_know(empty) == []


def test_a_subset_is_told(made):
    first = made.study.samples[0]
    study = replace(made.study, samples=(replace(first, embedded=20),), annotation=None)
    assert any(t.startswith("20 of the 150 kept cells have an embedding") for t in _texts(study))

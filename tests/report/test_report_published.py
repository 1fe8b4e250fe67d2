"""Published and regenerated figures in one picture, in marks of their own."""

from __future__ import annotations

import pytest

from aidocell.report.figures.published import beside_published


def row(method, **values):
    empty = dict.fromkeys(("published", "regenerated", "low", "high", "model"))
    return {"method": method, "metric": "macro_f1", **empty, **values}


ROWS = [
    row("AIDO.Cell-100M", published=0.761, model="genbio-ai/AIDO.Cell-100M"),
    row("CellTypist", published=0.725, regenerated=0.7, low=0.65, high=0.74),
    row("<script>", regenerated=0.5, low=0.4, high=0.6),
    row("neither"),
    row("other", published=0.9) | {"metric": "accuracy"},
]


def test_every_figure_has_its_mark_and_no_method_without_one_a_row():
    body = beside_published(ROWS, "macro_f1").body
    marks = body.count("<title>")
    assert marks - 1 == 4  # the legend's diamond is the fifth
    assert (body.count("<circle") - 1, body.count('class="whisker"')) == (2, 2)
    assert "neither" not in body
    assert "other" not in body


def test_a_name_stays_text():
    body = beside_published(ROWS, "macro_f1").body
    assert "<script>" not in body
    assert "&lt;script&gt;" in body


@pytest.mark.parametrize("rows", [[], ROWS[3:]])
def test_nothing_to_draw_is_no_picture(rows):
    assert beside_published(rows, "macro_f1") is None


def test_a_figure_below_zero_has_its_place_on_the_axis():
    below = row("pca", regenerated=-0.02, low=-0.05, high=0.01) | {"metric": "ari"}
    figure = beside_published([below], "ari")
    assert "adjusted Rand index" in figure.title
    assert 'x1="-' not in figure.body

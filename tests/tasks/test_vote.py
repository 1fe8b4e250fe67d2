"""Cells that are alike vote; the vote is an offer beside what was predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy
from anndata import AnnData

from aidocell.tasks.vote import neighbourhoods, resolution_for, vote


def test_the_neighbourhoods_are_those_that_scanpy_finds(toy):
    found, about = neighbourhoods(toy.embeddings, toy.cells)
    order = np.argsort(toy.cells)
    by_hand = AnnData(toy.embeddings[order])
    scanpy.pp.neighbors(by_hand, n_neighbors=15, use_rep="X", random_state=0)
    scanpy.tl.leiden(
        by_hand, resolution=5, flavor="igraph", n_iterations=2, directed=False, random_state=0
    )
    assert found[order].tolist() == by_hand.obs["leiden"].astype(int).tolist()
    assert about == {"neighbours": 15, "resolution": 5, "seed": 0}
    assert len(set(found)) > 3


def test_the_order_of_the_cells_changes_no_neighbourhood(toy):
    order = np.random.default_rng(0).permutation(60)
    found, _ = neighbourhoods(toy.embeddings, toy.cells)
    turned, _ = neighbourhoods(toy.embeddings[order], toy.cells[order])
    assert found[order].tolist() == turned.tolist()


@pytest.mark.parametrize("cells", [1, 2, 4])
def test_a_few_cells_have_neighbourhoods_too(toy, cells):
    found, _ = neighbourhoods(toy.embeddings[:cells], toy.cells[:cells])
    assert len(found) == cells


@pytest.mark.parametrize(
    ("cells", "resolution"), [(10, 5), (4_999, 5), (5_000, 10), (150_000, 25), (10**6, 30)]
)
def test_more_cells_have_a_higher_resolution(cells, resolution):
    assert resolution_for(cells) == resolution


def voted(rows):
    table = pd.DataFrame(rows, columns=["place", "class", "probability", "unknown"])
    given = (table[name].to_numpy() for name in table)
    return vote(*given).tolist()


def test_the_most_frequent_class_of_a_neighbourhood_wins():
    rows = [(0, "T", 0.9, False), (0, "T", 0.5, False), (0, "B", 0.9, False), (1, "B", 0.9, False)]
    assert voted(rows) == ["T", "T", "T", "B"]


def test_unknown_cells_do_not_vote_but_get_the_result():
    assert voted([(0, "T", 0.2, True), (0, "T", 0.2, True), (0, "B", 0.9, False)]) == ["B"] * 3


def test_where_nobody_votes_there_is_no_result():
    assert voted([(0, "T", 0.2, True), (1, "B", 0.9, False)]) == [None, "B"]


def test_of_equally_frequent_classes_the_surer_one_wins_then_the_first_by_name():
    assert voted([(0, "B", 0.5, False), (0, "T", 0.9, False)]) == ["T", "T"]
    assert voted([(0, "T", 0.5, False), (0, "B", 0.5, False)]) == ["B", "B"]

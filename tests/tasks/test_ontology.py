"""Cell Ontology ids that the labelled cells have are kept."""

from __future__ import annotations

import numpy as np
import pytest

from aidocell.tasks.ontology import default_column, ontology_of


def test_a_class_whose_cells_agree_has_an_id():
    labels = np.array(["B", "B", "T", "T"], dtype=object)
    ids, notes = ontology_of(labels, ["CL:0000236", None, "CL:0000084", "CL:0000084"])
    assert ids == {"B": "CL:0000236", "T": "CL:0000084"}
    assert notes == []


def test_a_class_whose_cells_disagree_has_none_and_is_named():
    labels = np.array(["B", "B", "T"], dtype=object)
    ids, notes = ontology_of(labels, ["CL:0000236", "CL:0000084", "CL:0000084"])
    assert ids == {"T": "CL:0000084"}
    assert "'B'" in notes[0]["text"]


@pytest.mark.parametrize("term", ["unknown", "", np.nan, 7, "CL:1", "CL:0000236\n", "EFO:0000001"])
def test_what_is_no_cell_ontology_id_counts_as_none(term):
    assert ontology_of(np.array(["B"], dtype=object), [term]) == ({}, [])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["type_ontology_term_id", "cell_type_ontology_term_id"], "type_ontology_term_id"),
        (["cell_type_ontology_term_id"], "cell_type_ontology_term_id"),
        (["donor"], None),
    ],
)
def test_the_columns_of_cellxgene_files_are_found(columns, expected):
    assert default_column("type", columns) == expected

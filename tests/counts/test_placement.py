from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from aidocell.counts.names import GeneNames
from aidocell.counts.placement import Placement
from aidocell.errors import InputError
from aidocell.genes import Vocabulary

GENES = Vocabulary(("A1BG", "CD3E", "MS4A1", "NKG7"), ("ENSG00000121410", "", "", ""))


def placement_of(symbols, *, ids=None, **kwargs) -> Placement:
    rows = [f"row{i}" for i in range(len(symbols))]
    return Placement.of(rows, GeneNames(ids, symbols), **kwargs)


def placed(symbols, counts) -> np.ndarray:
    placement = placement_of(symbols, vocabulary=GENES)
    return placement.place(sparse.csr_matrix(np.array(counts, np.int32))).toarray()


def test_columns_go_where_the_model_has_them_and_unknown_ones_nowhere():
    counts = [[5, 0, 2], [0, 7, 1]]
    np.testing.assert_array_equal(
        placed(["NKG7", "unheard-of", "CD3E"], counts), [[0, 2, 0, 5], [0, 1, 0, 0]]
    )


def test_rows_of_one_gene_are_added_up():
    placement = placement_of(["MS4A1", "CD20", "Bp35", "CD3E"], vocabulary=GENES)
    aligned = placement.place(sparse.csr_matrix(np.array([[1, 2, 4, 8]], np.int32)))
    np.testing.assert_array_equal(aligned.toarray(), [[0, 8, 7, 0]])
    assert aligned.dtype == np.int32
    assert aligned.nnz == 2
    assert placement.measured.tolist() == [False, True, True, False]


def test_sum_beyond_int32_is_exact():
    most = np.iinfo(np.int32).max
    aligned = placed(["MS4A1", "CD20"], [[most, most]])
    assert aligned[0, 2] == 2 * most


def test_row_that_an_aligned_file_did_not_measure_is_not_measured():
    measured = np.array([True, False])
    placement = placement_of(["CD3E", "NKG7"], vocabulary=GENES, measured=measured)
    assert placement.measured.tolist() == [False, True, False, False]


def test_most_rows_of_another_species_are_refused_and_half_of_them_are_not():
    human, mouse = ["CD3E", "NKG7"], ["Cd3e", "Nkg7"]
    placement_of([*human, *mouse], vocabulary=GENES).require_human(where="x.h5ad")
    with pytest.raises(InputError) as error:
        placement_of([*human, *mouse, "Gm1234"]).require_human(where="x.h5ad")
    assert error.value.id == "E_SPECIES"
    assert "3 of 5 genes in x.h5ad have names of mouse or rat (Cd3e, Nkg7" in error.value.what


def test_ids_of_another_species_are_named_before_symbols():
    ids = ["ENSMUSG00000024164", "ENSMUSG00000000001"]
    with pytest.raises(InputError, match=r"names of mouse \(ENSMUSG00000024164"):
        placement_of(["C3", "GNAI3"], ids=ids).require_human(where="x.h5ad")


def test_too_small_a_share_of_counts_is_refused_with_examples_and_what_they_look_like():
    symbols = ["CD3E", *(f"20{i}_at" for i in range(9))]
    placement = placement_of(symbols, vocabulary=GENES)
    umis = np.array([49, 1, 2, 3, 4, 5, 6, 30, 0, 0])
    with pytest.raises(InputError) as error:
        placement.require_known(umis, where="x.h5ad", min_share=0.5)
    assert error.value.id == "E_GENES_UNKNOWN"
    assert "49.0% of the counts in x.h5ad" in error.value.what
    assert "'206_at', '205_at', '204_at', '203_at', '202_at'" in error.value.what
    assert "most look like Affymetrix probes" in error.value.what
    assert "--gene-ids" in error.value.fix
    placement.require_known(umis, where="x.h5ad", min_share=0.49)


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("10057", "numbers"),
        ("ENST00000380152", "Ensembl transcript ids"),
        ("NM_000546.6", "RefSeq ids"),
        ("chr1:100-200", "genome positions"),
        ("ensg00000121410", "Ensembl gene ids"),
        ("cd3e", "genes of zebrafish"),
        ("gene_7", "names in no list of human genes"),
    ],
)
def test_unknown_names_are_described(name, looks):
    with pytest.raises(InputError, match=f"look like {looks}"):
        placement_of([name, name]).require_known(np.array([1, 1]), where="x.h5ad", min_share=0.5)


def test_file_without_any_count_is_judged_by_its_names():
    nothing = np.zeros(1, np.int64)
    placement_of(["CD3E"]).require_known(nothing, where="x", min_share=0.5)
    with pytest.raises(InputError, match="E_GENES_UNKNOWN"):
        placement_of(["unheard-of"]).require_known(nothing, where="x", min_share=0.5)


def test_rows_without_any_gene_name_are_shown_as_the_file_calls_them():
    nameless = Placement.of(["7157", "920"], GeneNames(None, None))
    assert nameless.resolution.route.tolist() == ["unresolved", "unresolved"]
    with pytest.raises(InputError, match=r"'7157', '920' \(most look like numbers\)"):
        nameless.require_known(np.array([2, 1]), where="x.h5ad", min_share=0.5)

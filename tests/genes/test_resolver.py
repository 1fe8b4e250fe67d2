from __future__ import annotations

import time
from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidocell.genes import ROUTES, Resolver, Vocabulary
from aidocell.genes.tables import ambiguous_names, synonyms

ROOT = Path(__file__).parents[2]
GENES = Vocabulary.builtin()
RESOLVER = Resolver(GENES)


def gene(resolution, row=0) -> str | None:
    index = resolution.index[row]
    return None if index < 0 else GENES.symbols[index]


# id, symbol, gene of the vocabulary or None, route
MESSY_TABLE = [
    ("ENSG00000121410", "A1BG", "A1BG", "ensembl_id"),
    ("ENSG00000121410.12", "A1BG", "A1BG", "ensembl_id"),
    ("ENSG00000121410.12", "", "A1BG", "ensembl_id"),
    ("ENSG00000121410", "anything", "A1BG", "ensembl_id"),
    ("ENSG00000121410.12_5", "A1BG", "A1BG", "ensembl_id"),  # GENCODE mapped to another assembly
    ("", "A1BG", "A1BG", "symbol"),
    ("ENSG00000999999", "A1BG", "A1BG", "symbol"),  # replaced id
    ("ENSG00000999999", "nothing-like-it", None, "unresolved"),
    ("ENSG00000128534", "NAA38", "LSM8", "ensembl_id"),  # id and symbol disagree
    ("A1BG", "A1BG", "A1BG", "symbol"),  # symbols in the id column
    ("A1BG", "", "A1BG", "symbol"),
    ("", "ENSG00000121410.3", "A1BG", "ensembl_id"),  # ids in the symbol column
    ("A2M", "ENSG00000121410", "A1BG", "ensembl_id"),  # columns the wrong way round
    ("ENSG00000999999", "ENSG00000121410", "A1BG", "ensembl_id"),
    ("", "BMAL1", "ARNTL", "approved"),
    ("", "MARCH1", "MARCHF1", "previous"),
    ("", "CD20", "MS4A1", "previous"),
    ("", "Bp35", "MS4A1", "alias"),
    ("", "YGL047W", "ALG13", "alias"),
    ("", "QARS", None, "ambiguous"),
    ("", "P62", None, "ambiguous"),
    ("ENSG00000156738", "P62", "MS4A1", "ensembl_id"),  # a known id settles an ambiguous name
    ("", "C18orf21", "C18orf21", "symbol"),  # ambiguous in HGNC, but spelled as in the vocabulary
    ("", "cd3e", None, "other_species"),
    ("", "Cd3e", None, "other_species"),
    ("", "TAP2-1", None, "unresolved"),
    ("", "TAP2.1", None, "unresolved"),
    ("ENSG00000204267", "TAP2-1", "TAP2", "ensembl_id"),
    ("", "MT-ND1", "MT-ND1", "symbol"),
    ("", "MT-ND1__chrM", None, "chrM"),
    ("ENSG00000999999", "MT-ND1__chrM", None, "chrM"),
    ("ENSG00000198888", "MT-ND1__chrM", "MT-ND1", "ensembl_id"),
    ("ENSG00000182378_PAR_Y", "PLCXD1", "PLCXD1", "ensembl_id"),
    ("ENSG00000182378.15_PAR_Y", "PLCXD1", "PLCXD1", "ensembl_id"),
    ("ENSGR0000182378.10", "PLCXD1", "PLCXD1", "ensembl_id"),
    ("ENSMUSG00000024164", "C3", None, "other_species"),  # spelled as the human C3
    ("ensg00000121410", "", None, "unresolved"),
    ("", "", None, "unresolved"),
    (None, float("nan"), None, "unresolved"),
]


@pytest.mark.parametrize(("gene_id", "symbol", "expected", "route"), MESSY_TABLE)
def test_messy_row_finds_its_gene(gene_id, symbol, expected, route):
    resolution = RESOLVER.resolve([gene_id], [symbol])
    assert (gene(resolution), resolution.route[0]) == (expected, route)


def test_rows_are_resolved_alone_whatever_else_is_in_the_table():
    ids, symbols, genes, routes = zip(*MESSY_TABLE, strict=True)
    resolution = RESOLVER.resolve(ids, symbols)
    assert [gene(resolution, row) for row in range(len(ids))] == list(genes)
    assert resolution.route.tolist() == list(routes)


def test_disagreement_is_recorded_with_both_genes():
    resolution = RESOLVER.resolve(["ENSG00000121410", "ENSG00000128534"], ["A1BG", "NAA38"])
    assert resolution.conflicts == ((1, "ENSG00000128534", "NAA38", "LSM8", "NAA38"),)


def test_synonym_of_the_gene_of_the_id_is_no_disagreement():
    assert RESOLVER.resolve(["ENSG00000156738"], ["CD20"]).conflicts == ()
    assert RESOLVER.resolve(["ENSG00000156738"], ["unheard-of"]).conflicts == ()


def test_every_vocabulary_symbol_but_the_mitochondrial_duplicates_means_its_own_entry():
    resolution = RESOLVER.resolve(None, GENES.symbols)
    duplicates = np.char.endswith(np.array(GENES.symbols), "__chrM")
    assert duplicates.sum() == 20
    np.testing.assert_array_equal(resolution.index, np.where(duplicates, -1, np.arange(len(GENES))))
    assert set(resolution.route[duplicates]) == {"chrM"}


def test_every_ensembl_id_means_its_own_entry():
    rows = [index for index, gene_id in enumerate(GENES.ensembl_ids) if gene_id]
    resolution = RESOLVER.resolve([f"{GENES.ensembl_ids[row]}.7" for row in rows], None)
    assert resolution.index.tolist() == rows


def test_every_synonym_means_the_symbol_it_stands_for():
    resolution = RESOLVER.resolve(None, list(synonyms()))
    found = [GENES.symbols[index] for index in resolution.index]
    assert found == [synonym.symbol for synonym in synonyms().values()]
    assert resolution.route.tolist() == [synonym.kind for synonym in synonyms().values()]


def test_ambiguous_names_are_never_guessed():
    assert len(ambiguous_names()) == 1_019
    assert not ambiguous_names() & (set(synonyms()) | set(GENES.symbols))
    resolution = RESOLVER.resolve(None, sorted(ambiguous_names()))
    assert set(resolution.index) == {-1}
    assert set(resolution.route) == {"ambiguous"}


def test_list_of_a_checkpoint_is_matched_by_its_names_never_by_index():
    own = Vocabulary(("MS4A1", "LOCAL1", "A1BG"), ("", "ENSG00000999999.1", ""))
    resolution = Resolver(own).resolve(
        ["ENSG00000999999", "", "", "", "ENSG00000121410"], ["", "Bp35", "A1BG", "A2M", "?"]
    )
    assert resolution.index.tolist() == [1, 0, 2, -1, -1]
    assert resolution.route.tolist() == ["ensembl_id", "alias", "symbol", *["unresolved"] * 2]


def test_symbol_of_a_checkpoints_list_comes_before_what_the_name_means_elsewhere():
    own = Vocabulary(("MS4A1", "CD20", "P62"), ("", "", ""))
    assert Resolver(own).resolve(None, ["CD20", "P62"]).index.tolist() == [1, 2]


def test_list_that_gives_ids_as_symbols_is_matched_by_them():
    own = Vocabulary(("ENSG00000121410", "ENSG00000175899.4"), ("", ""))
    resolution = Resolver(own).resolve(["ENSG00000175899", ""], ["A2M", "ENSG00000121410.12"])
    assert resolution.index.tolist() == [1, 0]


def test_permuted_vocabulary_gives_permuted_positions():
    order = np.random.default_rng(0).permutation(len(GENES))
    permuted = Vocabulary(
        tuple(GENES.symbols[i] for i in order), tuple(GENES.ensembl_ids[i] for i in order)
    )
    ids, symbols, _, _ = zip(*MESSY_TABLE, strict=True)
    expected, found = RESOLVER.resolve(ids, symbols), Resolver(permuted).resolve(ids, symbols)
    np.testing.assert_array_equal(np.where(found.index < 0, -1, order[found.index]), expected.index)
    assert found.route.tolist() == expected.route.tolist()


def test_nothing_to_resolve_is_an_error_and_no_rows_are_none():
    with pytest.raises(ValueError, match="give ids, symbols or both"):
        RESOLVER.resolve(None, None)
    with pytest.raises(ValueError, match="shorter"):
        RESOLVER.resolve(["ENSG00000121410"], [])
    assert RESOLVER.resolve([], []).index.shape == (0,)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_a_route_and_an_index_only_where_resolved(rows):
    resolution = RESOLVER.resolve(*zip(*rows, strict=True))
    assert set(resolution.route) <= set(ROUTES)
    resolved = np.isin(resolution.route, ROUTES[:5])
    np.testing.assert_array_equal(resolution.index >= 0, resolved)


@pytest.fixture(scope="module")
def pbmc() -> dict[str, list[str]]:
    var = anndata.read_h5ad(ROOT / "resources/pbmc3k.h5ad", backed="r").var
    return {"symbols": list(var.index), "ids": list(var["gene_ids"])}


def entries(resolution, *routes) -> set[int]:
    chosen = resolution.index >= 0
    if routes:
        chosen &= np.isin(resolution.route, routes)
    return set(resolution.index[chosen])


def test_pbmc3k_finds_the_known_number_of_genes(pbmc):
    by_symbol = RESOLVER.resolve(None, pbmc["symbols"])
    by_id = RESOLVER.resolve(pbmc["ids"], None)
    both = RESOLVER.resolve(**pbmc)
    assert len(entries(by_symbol, "symbol")) == 17_695
    assert len(entries(by_id)) == 18_549
    assert len(entries(by_symbol, "symbol") | entries(by_id)) == 18_790
    assert len(entries(by_symbol) | entries(by_id)) == 18_846
    # Six entries are reached only by the symbol of a row whose id means another gene.
    assert len(entries(both)) == 18_840
    assert len(both.conflicts) == 11


def test_kang_finds_the_known_number_of_genes():
    names = (ROOT / "tests/data/kang_genes.txt").read_text().splitlines()
    resolution = RESOLVER.resolve(None, names)
    assert len(names) == 14_053
    assert len(entries(resolution, "symbol")) == 11_504
    assert len(entries(resolution, "symbol", "approved", "previous")) == 12_222
    assert len(entries(resolution)) == 12_231


def test_thirty_thousand_rows_take_well_under_a_second(pbmc):
    start = time.process_time()
    RESOLVER.resolve(**pbmc)
    assert time.process_time() - start < 1.0

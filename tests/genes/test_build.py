from __future__ import annotations

import pandas as pd
import pytest

from aidocell.files import sha256_file
from aidocell.genes.build import Hgnc, build, read_symbols
from aidocell.genes.tables import FOLDER

# symbol, Ensembl id, previous symbols, aliases
ENTRIES = [
    ("CD3E", "ENSG1", "", "T3E|shared"),
    ("MS4A1", "ENSG2", "CD20|CD3E", "B1|twice"),
    ("MARCHF1", "ENSG3", "MARCH1", "twice|MARCH"),
    ("MT-ND1", "ENSG4", "", "ND1"),
    ("OUTSIDE", "ENSG5", "old", "B1|shared|MS4A1"),
    ("OUTSIDE2", "", "old|CD20B", "new"),
    ("IGH", "", "", "new"),
]
SYMBOLS = ["MS4A1", "CD3E", "MARCH1", "MT-ND1", "MT-ND1__chrM", "IGH", "MARCHF1", "old", "NEVER"]


@pytest.fixture(scope="module")
def tables() -> dict[str, list[tuple]]:
    columns = ["symbol", "ensembl_id", "prev_symbols", "alias_symbols"]
    return build(SYMBOLS, Hgnc(pd.DataFrame(ENTRIES, columns=columns).assign(gene_type="gene")))


def test_genes_keep_their_order_and_the_approved_symbol_keeps_the_id(tables):
    assert tables["genes.tsv"] == [
        (0, "MS4A1", "ENSG2", "MS4A1", "current"),
        (1, "CD3E", "ENSG1", "CD3E", "current"),
        (2, "MARCH1", "", "MARCHF1", "previous"),
        (3, "MT-ND1", "ENSG4", "MT-ND1", "current"),
        (4, "MT-ND1__chrM", "", "MT-ND1", "chrM_duplicate"),
        (5, "IGH", "", "IGH", "current"),
        (6, "MARCHF1", "ENSG3", "MARCHF1", "current"),
        (7, "old", "", "", "unresolved"),
        (8, "NEVER", "", "", "unresolved"),
    ]


def test_synonyms_mean_one_gene_and_no_vocabulary_or_approved_symbol(tables):
    assert tables["synonyms.tsv"] == [
        ("CD20", 0, "MS4A1", "previous"),
        ("T3E", 1, "CD3E", "alias"),
        ("ND1", 3, "MT-ND1", "alias"),
        ("MARCH", 6, "MARCHF1", "alias"),
    ]


def test_shared_names_are_listed_with_their_genes(tables):
    assert tables["ambiguous.tsv"] == [
        ("B1", "alias", "MS4A1|OUTSIDE"),
        ("new", "alias", "IGH|OUTSIDE2"),
        ("shared", "alias", "CD3E|OUTSIDE"),
        ("twice", "alias", "MARCHF1|MS4A1"),
    ]


def test_every_entry_without_id_has_its_reason(tables):
    reasons = {row[1]: row[2] for row in tables["genes_conflicts.tsv"]}
    assert reasons == {
        "MARCH1": "same_gene",
        "MT-ND1__chrM": "chrM_duplicate",
        "IGH": "no_ensembl_id",
        "old": "ambiguous",
        "NEVER": "unknown",
    }


def test_sources_other_than_the_pinned_ones_are_refused(tmp_path):
    (tmp_path / "list.tsv").write_text("gene_name\tindex\nA\t0\n")
    with pytest.raises(ValueError, match=r"list\.tsv has sha256"):
        read_symbols(tmp_path / "list.tsv")


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("genes.tsv", "9673a03811cf10c8fc64c6753fb4c9b2dbc05a370d3270ac6c485f005d3653f7"),
        ("synonyms.tsv", "f3f1ac08c4ee8f0330a2c5bd8c20cfed348d4e80c7bbe2ce468e505bea751049"),
        ("ambiguous.tsv", "a801c610cd2db97b6ecd42561ef521aac7a64138830790a7852bb5bef95169a7"),
        ("genes_conflicts.tsv", "074632221056118f1325eb76e276f662a801bfb43c1f0b1e4533e7bb7f31a41b"),
    ],
)
def test_shipped_tables_are_those_that_were_built(name, sha256):
    assert sha256_file(FOLDER / name) == sha256

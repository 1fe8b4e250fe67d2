from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from make_files import GENES, IDS

from aidocell.counts.names import (
    count_feature_types,
    gene_expression_rows,
    gene_names,
    other_genome_rows,
    strip_genome,
)
from aidocell.errors import InputError


def table(index, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(index))


# ---------------------------------------------------------------- ids and symbols


@pytest.mark.parametrize("column", ["gene_ids", "gene_id", "ensembl_id", "feature_id"])
def test_ids_are_found_in_the_usual_columns(column):
    names = gene_names(table(GENES, **{column: IDS}))
    assert names.ids == list(IDS)
    assert names.symbols == list(GENES)
    assert names.columns == (column, "index")


@pytest.mark.parametrize("column", ["gene_symbols", "gene_name", "feature_name"])
def test_symbols_are_found_in_the_usual_columns(column):
    names = gene_names(table(IDS, **{column: pd.Categorical(GENES)}))
    assert names.ids == list(IDS)
    assert names.symbols == list(GENES)
    assert names.columns == ("index", column)


def test_a_file_of_symbols_or_of_ids_alone_has_nothing_else():
    assert gene_names(table(GENES)).ids is None
    assert gene_names(table(IDS)).symbols is None


def test_other_columns_are_not_looked_at():
    assert gene_names(table(GENES, my_ids=IDS)).ids is None


def test_ids_keep_their_version():
    assert gene_names(table([f"{id}.7" for id in IDS])).ids == [f"{id}.7" for id in IDS]


def test_a_row_named_by_its_id_among_symbols_counts_as_an_id():
    names = gene_names(table(["CD3E", "ENSG00000237613", "NKG7"]))
    assert names.symbols == ["CD3E", "", "NKG7"]
    assert names.ids == ["", "ENSG00000237613", ""]


def test_gaps_in_the_column_of_ids_are_filled_from_the_index():
    names = gene_names(table(["CD3E", IDS[1], "NKG7", "X"], gene_ids=[IDS[0], None, "", np.nan]))
    assert names.ids == [IDS[0], IDS[1], "", ""]
    assert names.symbols == ["CD3E", "", "NKG7", "X"]


def test_numbers_are_no_symbols():
    names = gene_names(table(["0", "1", "2"], gene_name=GENES[:3]))
    assert names.symbols == list(GENES[:3])
    assert names.columns == (None, "gene_name")


def test_names_of_rows_lead_no_names_of_genes():
    names = gene_names(table([f"row{i}" for i in range(6)], gene_symbols=[*GENES[:5], ""]))
    assert names.symbols == [*GENES[:5], "row5"]
    assert names.columns == (None, "gene_symbols")


def test_the_index_leads_where_it_holds_as_many_genes_as_another_column():
    index = ["CD3E", "MS4A1", "NKG7", "TAP2-1"]
    names = gene_names(table(index, gene_symbols=["CD3E", "MS4A1", "NKG7", "TAP2"]))
    assert names.symbols == index


def test_an_id_among_symbols_of_a_column_is_found():
    var = table([IDS[0], "", ""], feature_name=["CD3E", IDS[1], "NKG7"])
    names = gene_names(var)
    assert names.ids == [IDS[0], IDS[1], ""]
    assert names.symbols == ["CD3E", "", "NKG7"]


def test_an_id_in_an_asked_column_of_symbols_is_found():
    names = gene_names(table(IDS[:3], mine=["CD3E", "NKG7", IDS[5]]), "mine")
    assert names.ids == ["", "", IDS[5]]
    assert names.symbols == ["CD3E", "NKG7", ""]


def test_bytes_and_blanks_are_read_as_text():
    assert gene_names(table([b"CD3E", " NKG7 "])).symbols == ["CD3E", "NKG7"]


# ---------------------------------------------------------------- --gene-ids


def test_an_asked_column_of_ids_is_used_with_the_usual_symbols():
    names = gene_names(table(GENES, mine=IDS, gene_ids=IDS[::-1]), "mine")
    assert names.ids == list(IDS)
    assert names.symbols == list(GENES)
    assert names.columns == ("mine", "index")


def test_an_asked_column_of_symbols_is_not_overruled_by_ids():
    names = gene_names(table(IDS, mine=GENES), "mine")
    assert names.ids is None
    assert names.symbols == list(GENES)
    assert names.columns == (None, "mine")


def test_the_index_can_be_asked_for_by_its_name():
    var = table(GENES, gene_ids=IDS)
    var.index.name = "symbol"
    assert gene_names(var, "symbol").columns == (None, "symbol")
    assert gene_names(var, "index").ids is None


def test_a_column_that_is_not_there_is_an_error_that_lists_the_others():
    with pytest.raises(InputError) as caught:
        gene_names(table(GENES, gene_ids=IDS, n=range(6)), "gene_idz")
    assert caught.value.id == "E_GENE_COLUMN"
    assert "'gene_idz'" in caught.value.what
    assert "index, gene_ids, n" in caught.value.what


# ---------------------------------------------------------------- genomes


@pytest.mark.parametrize(
    "prefix",
    ["GRCh38_", "hg19_", "GRCh38______", "GRCh38-2020-A_", "mm10___", "GRCm39_", "GRCh38.p13_"],
)
def test_genome_prefixes_are_stripped(prefix):
    assert strip_genome([f"{prefix}CD4", f"{prefix}{IDS[0]}"]) == ["CD4", IDS[0]]


@pytest.mark.parametrize("name", ["CD4", "H2_A1", "Y_RNA", "MT-CO1", "hg_19", "mm10", "__x", ""])
def test_other_names_stay_as_they_are(name):
    assert strip_genome([name]) == [name]


def test_prefixes_that_the_file_names_are_stripped():
    var = table(["my_ref_CD4", "my_ref_NKG7"], genome=["my_ref", "my_ref"])
    assert gene_names(var).symbols == ["CD4", "NKG7"]


@pytest.mark.parametrize("human", ["GRCh38", "hg19", "GRCh38-2020-A", "GRCh37", "hg38"])
def test_rows_of_another_genome_are_told_by_the_column(human):
    var = table(["CD4", "Cd4", "NKG7"], genome=[human, "mm10", human])
    assert other_genome_rows(var).tolist() == [False, True, False]


def test_rows_of_another_genome_are_told_by_the_prefix():
    var = table(["hg19_CD4", "mm10_Cd4", "hg19_NKG7"])
    assert other_genome_rows(var).tolist() == [False, True, False]
    assert other_genome_rows(table(["CD4", "mm10_Cd4"])).tolist() == [False, True]


@pytest.mark.parametrize("genome", ["GRCh38", "mm10", "", "some_build"])
def test_a_file_of_one_genome_keeps_every_row(genome):
    assert not other_genome_rows(table(GENES, genome=[genome] * 6)).any()
    assert not other_genome_rows(table([f"{genome}_{name}" for name in GENES])).any()


def test_without_a_human_genome_every_row_is_kept():
    assert not other_genome_rows(table(["a", "b"], genome=["mm10", "rn6"])).any()


# ---------------------------------------------------------------- feature types


def test_a_table_without_types_is_gene_expression():
    assert gene_expression_rows(table(GENES)).all()
    assert count_feature_types(table(GENES)) == {"Gene Expression": 6}
    assert gene_expression_rows(table(GENES, feature_types=[None] * 6)).all()


def test_rows_without_a_type_among_typed_ones_are_left_out_and_counted():
    var = table(["a", "b", "c"], feature_types=["Gene Expression", np.nan, "Peaks"])
    assert gene_expression_rows(var).tolist() == [True, False, False]
    assert count_feature_types(var) == {"Gene Expression": 1, "(no type)": 1, "Peaks": 1}

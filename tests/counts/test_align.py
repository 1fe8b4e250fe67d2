from __future__ import annotations

import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import aidocell
from aidocell.counts import InputOptions, align_file, check, open_counts, read_counts
from aidocell.counts.align import align, align_source
from aidocell.counts.audit import input_sha256
from aidocell.counts.celltable import CellTable
from aidocell.errors import InputError, MachineError
from aidocell.genes import Vocabulary
from aidocell.store import StoreReader, read_store

ROOT = Path(__file__).parents[2]
PBMC = ROOT / "resources/pbmc3k.h5ad"
GENES = Vocabulary.builtin()


def table(symbols, counts, *, ids=None, dtype=np.float32, dense=False) -> ad.AnnData:
    counts = np.array(counts, dtype)
    var = pd.DataFrame(index=[str(symbol) for symbol in symbols])
    if ids is not None:
        var["gene_ids"] = list(ids)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(len(counts))])
    return ad.AnnData(counts if dense else sparse.csr_matrix(counts), obs=obs, var=var)


def by_gene(aligned: ad.AnnData, cell: int = 0) -> dict[str, int]:
    row = aligned.X[cell].tocoo()
    return {aligned.var_names[i]: int(n) for i, n in zip(row.col, row.data, strict=True)}


# symbol, id, gene or None
MESSY = [
    ("TAP2", "ENSG00000999998", "TAP2"),  # replaced id
    ("TAP2-1", "ENSG00000204267", "TAP2"),  # suffix made by software, today's id
    ("TAP2-2", "ENSG00000999999", None),
    ("NAA38", "ENSG00000128534", "LSM8"),  # id and symbol disagree
    ("CD20", "", "MS4A1"),
    ("MS4A1", "", "MS4A1"),
    ("ms4a1", "", None),
    ("anything", "ENSG00000156738.19", "MS4A1"),
    ("QARS", "", None),  # ambiguous
    ("QARS1", "ENSG00000172053", "QARS1"),
    ("C18orf21", "", "C18orf21"),
    ("MT-ND1", "ENSG00000198888", "MT-ND1"),
    ("MT-ND1__chrM", "", None),
    ("PLCXD1", "ENSG00000182378.15", "PLCXD1"),
    ("PLCXD1-1", "ENSG00000182378.15_PAR_Y", "PLCXD1"),
]


def messy(**kwargs) -> ad.AnnData:
    symbols, ids, _ = zip(*MESSY, strict=True)
    powers = 2 ** np.arange(len(MESSY))
    return table(symbols, [powers, 3 * powers, 0 * powers], ids=ids, **kwargs)


def truth() -> dict[str, int]:
    sums: dict[str, int] = {}
    for place, (_, _, gene) in enumerate(MESSY):
        if gene:
            sums[gene] = sums.get(gene, 0) + 2**place
    return sums


def test_messy_table_gives_every_gene_its_known_count():
    expected = truth()
    aligned = align(messy(), min_share=0)
    assert by_gene(aligned) == expected
    assert by_gene(aligned, 1) == {gene: 3 * n for gene, n in expected.items()}
    assert by_gene(aligned, 2) == {}
    measured = set(aligned.var_names[aligned.var["measured"]])
    assert measured == set(expected)


def test_result_has_the_shape_types_and_columns_of_the_contract():
    aligned = align(messy(), min_share=0)
    assert aligned.shape == (3, 19_264)
    assert isinstance(aligned.X, sparse.csr_matrix)
    assert aligned.X.dtype == np.int32
    assert aligned.X.has_sorted_indices
    assert tuple(aligned.var_names) == GENES.symbols
    assert tuple(aligned.var["ensembl_id"]) == GENES.ensembl_ids
    assert aligned.var["measured"].dtype == bool


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.int64, np.uint16])
@pytest.mark.parametrize("dense", [True, False])
def test_number_type_and_layout_of_the_input_do_not_matter(dtype, dense):
    names, counts = ["CD3E", "unheard-of", "NKG7"], [[1, 0, 100], [0, 7, 0]]
    aligned = align(table(names, counts, dtype=dtype, dense=dense))
    assert by_gene(aligned) == {"CD3E": 1, "NKG7": 100}


def test_input_is_not_changed_and_cells_without_counts_are_kept_with_their_table():
    given_ = messy()
    given_.obs["donor"] = ["a", "b", "c"]
    before = given_.copy()
    aligned = align(given_, min_share=0)
    np.testing.assert_array_equal(given_.X.toarray(), before.X.toarray())
    pd.testing.assert_frame_equal(given_.obs, before.obs)
    assert aligned.obs["donor"].tolist() == ["a", "b", "c"]
    assert aligned.obs_names.tolist() == ["cell0", "cell1", "cell2"]


def test_column_that_cannot_be_stored_becomes_text(tmp_path):
    given_ = table(["CD3E"], [[1], [2]])
    given_.obs["mixed"] = [1, "b"]
    given_.obs["label"] = ["T cell", None]
    given_.obs["whole"] = pd.array([1, None], dtype="Int64")
    given_.obs["date"] = pd.to_datetime(["2020-01-01", None])
    given_.obs["group"] = pd.Categorical([1, 2])
    aligned = align(given_)
    assert aligned.obs["mixed"].tolist() == ["1", "b"]
    assert aligned.obs["date"].tolist()[0].startswith("2020-01-01")
    assert pd.isna(aligned.obs["date"].iloc[1])
    assert aligned.obs["group"].cat.categories.tolist() == ["1", "2"]
    aidocell.store.write_store(aligned, tmp_path / "x.zarr.zip", provenance={})
    stored = read_store(tmp_path / "x.zarr.zip").obs
    assert stored["mixed"].tolist() == ["1", "b"]
    assert stored["label"].isna().tolist() == stored["whole"].isna().tolist() == [False, True]


def test_only_gene_expression_is_read_so_an_antibody_adds_nothing_to_its_gene():
    given_ = table(["CD4", "CD4_TotalSeqB", "CD3E"], [[1, 50, 2]])
    given_.var_names = ["CD4", "CD4", "CD3E"]
    given_.var["feature_types"] = ["Gene Expression", "Antibody Capture", "Gene Expression"]
    assert by_gene(align(given_)) == {"CD3E": 2, "CD4": 1}


def test_gene_ids_names_the_column_with_the_names():
    given_ = table(["g1", "g2"], [[1, 2]])
    given_.var["mine"] = ["CD3E", "NKG7"]
    assert by_gene(align(given_, gene_ids="mine")) == {"CD3E": 1, "NKG7": 2}
    with pytest.raises(InputError, match="E_GENE_COLUMN"):
        align(given_, gene_ids="yours")


@pytest.mark.parametrize(
    ("given_", "id"),
    [
        (table(["CD3E"], [[np.nan]]), "E_NOT_FINITE"),
        (table(["CD3E"], [[-1]]), "E_NEGATIVE"),
        (table(["CD3E", "NKG7"], [[0.7, 1.3], [0.2, 2.2]]), "E_NOT_COUNTS"),
        (table(["CD3E"], [[True]], dtype=bool, dense=True), "E_MATRIX_TYPE"),
        (table(["Cd3e", "Nkg7"], [[1, 1]]), "E_SPECIES"),
        (table(["CD3E", "unheard-of"], [[1, 2]]), "E_GENES_UNKNOWN"),
        (ad.AnnData(np.zeros((0, 2), np.float32)), "E_NO_CELLS"),
        (ad.AnnData(np.zeros((2, 0), np.float32)), "E_NO_GENES"),
        (ad.AnnData(None, obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=["CD3E"])),
         "E_MATRIX_TYPE"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(given_, id):
    with pytest.raises(InputError) as error:
        align(given_)
    assert error.value.id == id


def test_bad_value_is_named_by_cell_and_gene():
    with pytest.raises(InputError, match="-1 in cell 'cell1', gene 'NKG7'"):
        align(table(["CD3E", "NKG7"], [[1, 0], [0, -1]]))


def test_values_that_are_no_gene_expression_need_not_be_counts():
    given_ = table(["CD3E", "CD4"], [[3, 0.5]])
    given_.var["feature_types"] = ["Gene Expression", "Antibody Capture"]
    assert by_gene(align(given_)) == {"CD3E": 3}


@pytest.mark.parametrize("names", [["a", "a"], ["a", ""]])
def test_repeated_and_empty_cell_names_are_refused(names):
    given_ = table(["CD3E"], [[1], [2]])
    given_.obs_names = names
    with pytest.raises(InputError, match="E_CELL_NAMES"):
        align(given_)


def test_repeated_gene_names_are_added_up():
    assert by_gene(align(table(["CD3E", "NKG7", "CD3E"], [[1, 2, 4]]))) == {"CD3E": 5, "NKG7": 2}


def test_faults_of_the_matrix_come_before_faults_of_the_genes():
    with pytest.raises(InputError, match="E_NEGATIVE"):
        align(table(["Cd3e", "Nkg7"], [[1, -1]]))
    with pytest.raises(InputError, match="E_SPECIES"):
        align(table(["Cd3e", "Nkg7", "unheard-of"], [[1, 1, 9]]))


def test_antibodies_alone_are_refused():
    given_ = table(["CD4"], [[1]])
    given_.var["feature_types"] = ["Antibody Capture"]
    with pytest.raises(InputError, match="E_FEATURES"):
        align(given_)


def test_table_without_any_count_is_aligned():
    aligned = align(table(["CD3E", "NKG7"], [[0, 0], [0, 0]]))
    assert aligned.shape == (2, 19_264)
    assert aligned.X.nnz == 0
    assert aligned.X.dtype == np.int32


# ------------------------------------------------------------------ aligning again


def test_what_is_aligned_stays_as_it_is():
    once = align(messy(), min_share=0)
    twice = align(once)
    np.testing.assert_array_equal(once.X.toarray(), twice.X.toarray())
    pd.testing.assert_frame_equal(once.var, twice.var)
    pd.testing.assert_frame_equal(once.obs, twice.obs)


def test_aligned_to_another_list_only_measured_genes_count_as_measured():
    other = Vocabulary(
        ("LSM8", "MS4A1", "CD3E", "MT-ND1__chrM"), ("ENSG00000128534", "ENSG00000156738", "", "")
    )
    again = align(align(messy(), min_share=0), genes=other, min_share=0)
    assert again.var["measured"].tolist() == [True, True, False, False]
    straight = align(messy(), genes=other, min_share=0)
    np.testing.assert_array_equal(again.X.toarray(), straight.X.toarray())
    pd.testing.assert_frame_equal(again.var, straight.var)


def test_permuted_vocabulary_gives_permuted_columns():
    order = np.random.default_rng(1).permutation(len(GENES))
    other = Vocabulary(
        tuple(GENES.symbols[i] for i in order), tuple(GENES.ensembl_ids[i] for i in order)
    )
    plain, permuted = align(messy(), min_share=0), align(messy(), genes=other, min_share=0)
    np.testing.assert_array_equal(permuted.X.toarray(), plain.X.toarray()[:, order])


# ------------------------------------------------------------------ properties

NAMES = st.sampled_from(
    ["CD3E", "MS4A1", "CD20", "Bp35", "NKG7", "QARS", "Cd3e", "TAP2-1", "nothing", "MT-ND1__chrM"]
)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=8))
    cells = draw(st.integers(1, 5))
    rows = st.lists(st.integers(0, 50), min_size=len(names), max_size=len(names))
    counts = draw(st.lists(rows, min_size=cells, max_size=cells))
    given_ = table(range(len(names)), counts)
    given_.var["gene_name"] = names
    return given_


def aligned_or_refused(given_, **kwargs):
    try:
        return align(given_, min_share=0, **kwargs)
    except InputError as error:
        return error.id


@given(tables())
@settings(max_examples=40, deadline=None)
def test_every_count_is_resolved_or_left_out_and_none_is_lost(given_):
    aligned = aligned_or_refused(given_)
    if isinstance(aligned, str):
        return
    known = given_.var["gene_name"].isin(["CD3E", "MS4A1", "CD20", "Bp35", "NKG7"]).to_numpy()
    np.testing.assert_array_equal(
        np.asarray(aligned.X.sum(axis=1)).ravel(), given_.X.toarray()[:, known].sum(axis=1)
    )


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_the_columns_does_not_matter(given_, random):
    order = random.sample(range(given_.n_vars), given_.n_vars)
    first, second = aligned_or_refused(given_), aligned_or_refused(given_[:, order].copy())
    if isinstance(first, str):
        assert first == second
        return
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    pd.testing.assert_frame_equal(first.var, second.var)


# ------------------------------------------------------------------ files


@pytest.fixture
def messy_file(tmp_path) -> Path:
    given_ = messy()
    given_.obs["donor"] = pd.Categorical(["a", "b", "a"])
    given_.write_h5ad(tmp_path / "messy.h5ad")
    return tmp_path / "messy.h5ad"


def test_file_and_memory_give_the_same(messy_file, tmp_path):
    align_file(messy_file, tmp_path / "x.zarr.zip", min_share=0)
    stored = read_store(tmp_path / "x.zarr.zip")
    aligned = align(read_counts(messy_file), min_share=0)
    np.testing.assert_array_equal(stored.X.toarray(), aligned.X.toarray())
    pd.testing.assert_frame_equal(stored.var, aligned.var, check_names=False)
    assert stored.obs["donor"].tolist() == aligned.obs["donor"].tolist() == ["a", "b", "a"]


def test_chunks_and_whole_file_give_the_same_bytes(messy_file, tmp_path, monkeypatch):
    whole = align_file(messy_file, tmp_path / "whole.zarr.zip", min_share=0)
    from aidocell.counts.source import CountSource

    chunks = CountSource.chunks
    monkeypatch.setattr(CountSource, "chunks", lambda self, size=1: chunks(self, 1))
    parts = align_file(messy_file, tmp_path / "parts.zarr.zip", min_share=0)
    assert (tmp_path / "whole.zarr.zip").read_bytes() == (tmp_path / "parts.zarr.zip").read_bytes()
    assert whole == parts


def test_audit_is_that_of_check(messy_file, tmp_path):
    audit = align_file(messy_file, tmp_path / "x.zarr.zip", min_share=0)
    assert audit == check(messy_file, InputOptions(), min_share=0)


def align_part(path: Path, output: Path, *, kept=None, added=None, vocabulary=None) -> dict:
    with open_counts(path) as source:
        return align_source(
            source,
            output,
            made_from=InputOptions().made_from(input_sha256(path)),
            vocabulary=vocabulary,
            kept=None if kept is None else np.array(kept),
            added=None if added is None else CellTable.of(added),
            min_share=0,
            overwrite=True,
        )


def test_kept_cells_are_written_in_the_order_of_the_file_with_further_columns(messy_file, tmp_path):
    extra = pd.DataFrame(
        {"batch": ["x", None, "y"], "donor": "new"}, index=["cell0", "cell1", "cell2"]
    )
    output = tmp_path / "x.zarr.zip"
    audit = align_part(messy_file, output, kept=[False, True, True], added=extra)
    stored = read_store(output)
    assert audit == check(messy_file, InputOptions(), min_share=0)
    assert stored.obs_names.tolist() == ["cell1", "cell2"]
    assert stored.obs["batch"].isna().tolist() == [True, False]
    assert stored.obs["batch"].iloc[1] == "y"
    assert stored.obs["donor"].iloc[1] == "new"
    assert by_gene(stored) == {gene: 3 * n for gene, n in truth().items()}


def test_nobody_to_keep_is_refused_and_nothing_is_written(messy_file, tmp_path):
    with pytest.raises(InputError, match="E_NO_CELLS"):
        align_part(messy_file, tmp_path / "x.zarr.zip", kept=[False] * 3)
    assert [p.name for p in tmp_path.iterdir()] == ["messy.h5ad"]


def test_a_disk_too_small_for_the_counts_is_refused_before_work_begins(
    messy_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("aidocell.counts.align._BYTES_A_COUNT", 1 << 60)
    with pytest.raises(MachineError, match=r"E_DISK_FULL.*x\.zarr\.zip.*GiB are free"):
        align_file(messy_file, tmp_path / "x.zarr.zip", min_share=0)
    assert [p.name for p in tmp_path.iterdir()] == ["messy.h5ad"]


def test_refused_file_leaves_nothing_behind(tmp_path):
    table(["unheard-of", "CD3E"], [[9, 1]]).write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="E_GENES_UNKNOWN"):
        align_file(tmp_path / "x.h5ad", tmp_path / "x.zarr.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5ad"]


def test_output_that_is_there_stays_unless_told(messy_file, tmp_path):
    output = tmp_path / "x.zarr.zip"
    align_file(messy_file, output, min_share=0)
    with pytest.raises(InputError, match="E_OUTPUT_EXISTS"):
        align_file(messy_file, output, min_share=0)
    align_file(messy_file, output, min_share=0, overwrite=True)


def test_aligned_file_aligned_again_is_unchanged(messy_file, tmp_path):
    align_file(messy_file, tmp_path / "once.zarr.zip", min_share=0)
    align_file(tmp_path / "once.zarr.zip", tmp_path / "twice.zarr.zip")
    once, twice = read_store(tmp_path / "once.zarr.zip"), read_store(tmp_path / "twice.zarr.zip")
    np.testing.assert_array_equal(once.X.toarray(), twice.X.toarray())
    pd.testing.assert_frame_equal(once.var, twice.var)
    pd.testing.assert_frame_equal(once.obs, twice.obs)
    digests = [store.uns["aidocell"]["counts_digest"] for store in (once, twice)]
    assert digests[0] == digests[1]


def test_aligned_file_to_another_list_measures_what_was_measured(messy_file, tmp_path):
    other = Vocabulary(("LSM8", "MS4A1", "CD3E"), ("", "ENSG00000156738", ""))
    align_file(messy_file, tmp_path / "once.zarr.zip", min_share=0)
    audit = align_file(
        tmp_path / "once.zarr.zip", tmp_path / "other.zarr.zip", vocabulary=other, min_share=0
    )
    assert read_store(tmp_path / "other.zarr.zip").var["measured"].tolist() == [True, True, False]
    assert audit["measured"] == 2


def test_provenance_says_what_was_read_and_how(messy_file, tmp_path):
    audit = align_file(messy_file, tmp_path / "x.zarr.zip", min_share=0)
    with StoreReader(tmp_path / "x.zarr.zip") as store:
        provenance = store.provenance
    assert provenance["stage"] == "align"
    assert provenance["genes_sha256"] == GENES.sha256
    assert provenance["input_sha256"] == audit["sha256"]
    assert provenance["options"]["round"] is False
    assert str(tmp_path) not in str(provenance)


def test_pbmc3k_is_aligned_in_seconds_and_measures_18840_genes():
    counts = read_counts(PBMC)
    align(counts)
    start = time.process_time()
    aligned = align(counts)
    assert time.process_time() - start < 3
    assert int(aligned.var["measured"].sum()) == 18_840
    assert aligned.n_obs == 2_700


def test_the_run_key_of_counts_changes_with_all_that_can_change_them(messy_file, tmp_path):
    names = ["cell0", "cell1", "cell2"]
    column = pd.DataFrame({"donor": "a"}, index=names)
    wanted = [{}, {"kept": [True, False, True]}, {"kept": [True, True, False]}, {"added": column}]
    wanted += [{"added": column.rename(columns={"donor": "batch"})}, {"added": column + "b"}]
    wanted.append({"vocabulary": Vocabulary(("C18orf21", "PLCXD1"), ("", ""))})
    keys = []
    for options in [*wanted, {}]:
        align_part(messy_file, tmp_path / "x.zarr.zip", **options)
        with StoreReader(tmp_path / "x.zarr.zip") as store:
            keys.append(store.provenance["run_key"])
    assert keys[0] == keys[-1]
    assert len(set(keys)) == len(wanted)

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from make_files import IDS, anndata, barcodes, counts, write
from scipy import sparse

from aidocell.counts import source
from aidocell.counts.doublets import doublet_scores
from aidocell.counts.options import InputOptions
from aidocell.counts.qc import qc, qc_file
from aidocell.counts.qctable import COLUMNS, kept_cells, read_qc
from aidocell.errors import InputError
from aidocell.genes import Vocabulary
from aidocell.texts import Texts

PBMC = Path(__file__).parents[2] / "resources" / "pbmc3k.h5ad"


def saved(path: Path, values: np.ndarray, **changes: object) -> Path:
    adata = anndata(np.asarray(values))
    for name, value in changes.items():
        setattr(adata, name, value)
    adata.write_h5ad(path)
    return path


# ---------------------------------------------------------------- metrics


@pytest.fixture(scope="module")
def by_hand() -> ad.AnnData:
    """The data set of the demonstration, measured as scanpy's tutorial does."""
    adata = ad.read_h5ad(PBMC)
    adata.X = adata.X.astype(np.int32)
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    adata.var["ribo"] = adata.var_names.str.startswith(("RPS", "RPL"))
    adata.var["hb"] = adata.var_names.str.contains("^HB[^(P)]")
    sc.pp.calculate_qc_metrics(
        adata, qc_vars=["mt", "ribo", "hb"], percent_top=[20], log1p=False, inplace=True
    )
    return adata


@pytest.mark.parametrize("chunk", [4096, 700])
def test_metrics_are_those_of_scanpy_on_real_cells(chunk, by_hand, monkeypatch):
    monkeypatch.setattr(source.CountSource.chunks, "__defaults__", (chunk,))
    table = qc(PBMC, None, {})
    assert table.columns.tolist() == list(COLUMNS)
    assert table["cell"].tolist() == by_hand.obs_names.tolist()
    for metric in COLUMNS[1:7]:
        expected = by_hand.obs[metric].to_numpy(float)
        np.testing.assert_allclose(table[metric], expected, rtol=1e-12, err_msg=metric)
    assert table["doublet_score"].isna().all()
    assert table["kept"].all()


def test_genes_known_by_id_alone_are_measured_all_the_same(tmp_path):
    values = counts()
    symbols = qc(saved(tmp_path / "symbols.h5ad", values), None, {})
    ids = qc(saved(tmp_path / "ids.h5ad", values, var=pd.DataFrame(index=list(IDS))), None, {})
    pd.testing.assert_frame_equal(symbols, ids)
    share = 100 * values[:, 3] / values.sum(axis=1)
    np.testing.assert_allclose(ids["pct_counts_mt"], share)


def test_with_fewer_than_twenty_genes_all_counts_are_in_the_top(tmp_path):
    table = qc(saved(tmp_path / "x.h5ad", counts()), None, {})
    assert (table["pct_counts_in_top_20_genes"] == 100).all()


def test_counts_in_the_vocabulary_are_counted_apart(tmp_path):
    values = counts(3, 8)  # the last two genes are made up
    table = qc(saved(tmp_path / "x.h5ad", values), None, {})
    assert table["vocabulary_counts"].tolist() == values[:, :6].sum(axis=1).tolist()
    assert table["total_counts"].tolist() == values.sum(axis=1).tolist()
    small = Vocabulary(("NKG7",), (IDS[2],))
    table = qc(tmp_path / "x.h5ad", None, {}, vocabulary=small)
    assert table["vocabulary_counts"].tolist() == values[:, 2].tolist()


# ---------------------------------------------------------------- decisions


def test_cells_without_a_count_in_the_models_genes_are_removed_by_name(tmp_path):
    values = counts(4, 8)
    values[1] = 0
    values[2, :6] = 0
    values[2, 7] = 5
    table = qc(saved(tmp_path / "x.h5ad", values), None, {}).set_index("cell")
    names = barcodes(4)
    assert table["kept"].tolist() == [True, False, False, True]
    assert table.loc[names[1:3], "reason"].tolist() == ["no count in the model's genes"] * 2
    assert np.isnan(table.loc[names[1], "pct_counts_mt"])


@pytest.mark.parametrize(
    ("threshold", "value", "removed", "reason"),
    [
        ("min_genes", 3, [0], "fewer than 3 genes"),
        ("max_genes", 3, [2], "more than 3 genes"),
        ("min_counts", 10, [0], "fewer than 10 counts"),
        ("max_counts", 12, [1], "more than 12 counts"),
        ("max_mito", 20, [1], "more than 20 % mitochondrial counts"),
        ("max_ribo", 20, [2], "more than 20 % ribosomal counts"),
        ("max_hb", 25, [0, 1], "more than 25 % haemoglobin counts"),
    ],
)
def test_each_threshold_removes_what_lies_beyond_it(threshold, value, removed, reason, tmp_path):
    # CD3E, MS4A1, NKG7, MT-CO1, RPL3, HBB
    values = np.array([[1, 0, 0, 0, 0, 1], [10, 0, 0, 10, 0, 10], [3, 3, 0, 0, 3, 3]])
    table = qc(saved(tmp_path / "x.h5ad", values), None, {threshold: value})
    assert np.flatnonzero(~table["kept"]).tolist() == removed
    assert set(table["reason"][removed]) == {reason}
    assert set(table["reason"][table["kept"]]) == {""}


def test_the_share_of_the_top_genes_is_a_threshold(tmp_path):
    values = np.ones((2, 40), dtype=int)
    values[1, 0] = 1000
    table = qc(saved(tmp_path / "x.h5ad", values), None, {"max_top20": 90})
    assert table["kept"].tolist() == [True, False]


def test_all_reasons_are_given(tmp_path):
    values = np.array([[0, 0, 0, 1, 0, 0], [9, 9, 9, 0, 0, 0]])
    table = qc(saved(tmp_path / "x.h5ad", values), None, {"min_genes": 2, "max_mito": 10})
    assert table["reason"][0] == "fewer than 2 genes; more than 10 % mitochondrial counts"


def test_nothing_set_removes_nothing(tmp_path):
    path = saved(tmp_path / "x.h5ad", counts())
    none = dict.fromkeys(("min_genes", "max_mito", "mads", "doublets", "seed"))
    for thresholds in ({}, none):
        table = qc(path, None, thresholds)
        assert table["kept"].all()
        assert table.attrs["bounds"] == {}


def test_bounds_from_deviations_are_those_of_the_formula(tmp_path):
    values = np.random.default_rng(0).poisson(20, (60, 6))
    values[0] *= 100
    values[1] = [1, 0, 0, 0, 0, 0]
    values[2, 3] = 300
    table = qc(saved(tmp_path / "x.h5ad", values), None, {"mads": 4})
    logged = np.log1p(values.sum(axis=1))
    middle = np.median(logged)
    width = 1.4826 * np.median(np.abs(logged - middle))
    found = table.attrs["bounds"]["total_counts"]
    assert found["lower"]["value"] == pytest.approx(np.expm1(middle - 4 * width))
    assert found["upper"]["value"] == pytest.approx(np.expm1(middle + 4 * width))
    assert found["upper"]["source"] == "mads"
    assert table["reason"][0] == "counts more than 4 MADs above the median"
    assert "counts more than 4 MADs below the median" in table["reason"][1]
    assert "mitochondrial share more than 4 MADs above the median" in table["reason"][2]


def test_of_a_fixed_bound_and_one_from_deviations_the_stricter_is_shown(tmp_path):
    path = saved(tmp_path / "x.h5ad", np.random.default_rng(0).poisson(20, (60, 6)))
    loose = qc(path, None, {"mads": 3, "max_counts": 10_000}).attrs["bounds"]["total_counts"]
    assert loose["upper"]["source"] == "mads"
    strict = qc(path, None, {"mads": 3, "min_counts": 110}).attrs["bounds"]["total_counts"]
    assert strict["lower"] == {"value": 110, "source": "min_counts"}


def test_without_spread_there_is_no_bound(tmp_path, caplog):
    values = np.ones((5, 6), dtype=int)
    values[0, 3] = 4
    table = qc(saved(tmp_path / "x.h5ad", values), None, {"mads": 1})
    assert table["kept"].all()
    assert "no bound from MADs" in caplog.text


def test_nothing_left_says_what_each_filter_took(tmp_path):
    values = counts(4)
    values[0] = 0
    with pytest.raises(InputError) as caught:
        qc(saved(tmp_path / "x.h5ad", values), None, {"min_genes": 50})
    error = caught.value
    assert error.id == "E_NO_CELLS"
    assert "4 by 'fewer than 50 genes'" in error.what
    assert "1 by 'no count in the model's genes'" in error.what


@pytest.mark.parametrize(
    ("thresholds", "says"),
    [({"min_gene": 3}, "did you mean 'min_genes'?"), ({"doublets": "yes"}, "off, score, remove")],
)
def test_thresholds_that_do_not_exist_are_refused(thresholds, says, tmp_path):
    with pytest.raises(InputError) as caught:
        qc(tmp_path / "none.h5ad", None, thresholds)
    assert caught.value.id == "E_CONFIG"
    assert says in caught.value.fix


# ---------------------------------------------------------------- doublets


@pytest.fixture(scope="module")
def some_cells(tmp_path_factory) -> Path:
    """Real cells, and ten that are sums of two unlike ones."""
    adata = ad.read_h5ad(PBMC)
    kinds = adata.obs["cell_type"].astype(str).to_numpy()
    rows = np.concatenate([np.flatnonzero(kinds == kind)[:120] for kind in ("B", "CD14 Monocytes")])
    singles = adata[rows]
    doublets = singles.X[:10] + singles.X[120:130]
    mixed = ad.AnnData(
        sparse.vstack([singles.X, doublets], format="csr"),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(250)]),
        var=adata.var,
    )
    path = tmp_path_factory.mktemp("doublets") / "x.h5ad"
    mixed.write_h5ad(path)
    return path


def test_doublets_score_above_single_cells_and_can_be_removed(some_cells):
    scored = qc(some_cells, None, {"doublets": "score", "seed": 1})
    assert scored["kept"].all()
    scores = scored["doublet_score"].to_numpy()
    assert scores[240:].mean() > 1.5 * scores[:240].mean()
    limit = float(np.quantile(scores, 0.95))
    removed = qc(some_cells, None, {"doublets": "remove", "doublet_threshold": limit, "seed": 1})
    np.testing.assert_array_equal(removed["doublet_score"], scores)
    np.testing.assert_array_equal(~removed["kept"], scores > limit)
    assert removed["reason"][~removed["kept"]].str.startswith("doublet score over").all()
    assert removed.attrs["bounds"]["doublet_score"]["upper"]["source"] == "doublet_threshold"


def test_cells_removed_before_get_no_doublet_score(some_cells):
    table = qc(some_cells, None, {"doublets": "score", "min_counts": 2000})
    assert table["doublet_score"].isna().equals(~table["kept"])


def test_too_few_cells_or_genes_get_no_score_but_a_warning(caplog):
    for shape in ((20, 200), (80, 10)):
        scores = doublet_scores(sparse.csr_matrix(counts(*shape)), seed=0, where="x.h5ad")
        assert np.isnan(scores).all()
    assert caplog.text.count("no doublet scores") == 2


# ---------------------------------------------------------------- files


MADE_FROM = {"input_sha256": "a" * 64, "options": {"layer": None}}


def written(path: Path, output: Path, **thresholds: object) -> Path:
    qc_file(path, None, output, thresholds=thresholds, made_from=MADE_FROM)
    return output


def test_a_written_table_comes_back_with_its_bounds(tmp_path):
    path = saved(tmp_path / "x.h5ad", np.random.default_rng(0).poisson(20, (60, 6)))
    limits = {"mads": 3, "min_genes": 2, "max_mito": 30}
    back = read_qc(written(path, tmp_path / "qc.parquet", **limits))
    table = qc(path, None, limits)
    pd.testing.assert_frame_equal(back, table)
    assert back.attrs["bounds"] == table.attrs["bounds"]
    assert back.attrs["made_from"] == MADE_FROM
    assert set(back.attrs["bounds"]) == {"n_genes_by_counts", "total_counts", "pct_counts_mt"}


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / "qc.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*qc\.parquet.*delete it"):
        read_qc(tmp_path / "qc.parquet")


def test_equal_tables_give_equal_bytes(tmp_path):
    path = write(counts(), tmp_path, "10x-v3")
    one, two = (written(path, tmp_path / name, min_genes=2) for name in ("a.parquet", "b.parquet"))
    assert one.read_bytes() == two.read_bytes()


def test_nothing_left_leaves_no_table(tmp_path):
    path = saved(tmp_path / "x.h5ad", counts())
    with pytest.raises(InputError, match="E_NO_CELLS"):
        written(path, tmp_path / "qc.parquet", min_genes=99)
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5ad"]


def test_kept_cells_are_read_for_the_file_that_they_are_of_alone(tmp_path):
    path = saved(tmp_path / "x.h5ad", counts(5))
    table = written(path, tmp_path / "qc.parquet")
    cells = Texts.of(barcodes(5))
    assert kept_cells(table, cells, made_from=MADE_FROM).all()
    others = [
        (cells, {**MADE_FROM, "input_sha256": "b" * 64}),
        (cells, {**MADE_FROM, "options": InputOptions(layer="raw").made_from("")["options"]}),
        (cells[:4], MADE_FROM),
        (Texts.of([*barcodes(5), "more"]), MADE_FROM),
        (Texts.of(["other", *barcodes(5)[1:]]), MADE_FROM),
    ]
    for names, made_from in others:
        with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*qc\.parquet.*delete it"):
            kept_cells(table, names, made_from=made_from)

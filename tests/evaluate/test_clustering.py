"""Clusters held against labels, on real blood cells."""

import anndata as ad
import numpy as np
import pytest
import scanpy
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from small import ROOT

from aidocell.evaluate import clustering
from aidocell.evaluate.clustering import (
    agreement,
    leiden_to_number,
    scaled_components,
    silhouette,
)

KINDS = ["B", "CD14 Monocytes", "NK", "CD8 T"]


@pytest.fixture(scope="module")
def blood():
    """160 cells of four types: their components by scanpy, and their labels."""
    whole = ad.read_h5ad(ROOT / "resources/pbmc3k.h5ad")
    rng = np.random.default_rng(0)
    types = whole.obs["cell_type"].astype(str).to_numpy()
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(types == k), 40, replace=False) for k in KINDS]
    )
    cells = whole[rows].copy()
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    scanpy.pp.highly_variable_genes(cells, n_top_genes=500)
    scanpy.pp.pca(cells, n_comps=20, random_state=0)
    return cells.obsm["X_pca"], types[rows]


@pytest.mark.parametrize("number", [2, 4, 7])
def test_the_resolution_is_found_that_gives_as_many_clusters(blood, number):
    found = leiden_to_number(blood[0], number)
    assert found.number == number
    assert len(np.unique(found.labels)) == number


def test_clusters_are_those_of_scanpy_at_that_resolution(blood):
    found = leiden_to_number(blood[0], 4, neighbours=10, seed=7)
    by_hand = ad.AnnData(obsm={"X": blood[0]})
    scanpy.pp.neighbors(by_hand, n_neighbors=10, use_rep="X", random_state=7)
    scanpy.tl.leiden(
        by_hand,
        resolution=found.resolution,
        flavor="igraph",
        directed=False,
        n_iterations=2,
        random_state=7,
    )
    assert found.labels.tolist() == by_hand.obs["leiden"].astype(int).tolist()


def test_real_types_are_found_and_shuffled_labels_are_not(blood):
    clusters = leiden_to_number(blood[0], 4).labels[:, None]
    shuffled = np.random.default_rng(0).permutation(blood[1])
    found = agreement(blood[1], clusters, seed=0, draws=20).set_index("metric")["value"]
    chance = agreement(shuffled, clusters, seed=0, draws=20).set_index("metric")["value"]
    assert found["ari"] > 0.6
    assert abs(chance["ari"]) < 0.05


def test_where_no_resolution_hits_the_nearest_number_is_told():
    same = np.tile([[0.0, 0.0], [50.0, 50.0]], (30, 1)) + np.arange(60)[:, None] * 1e-6
    found = leiden_to_number(same, 61, neighbours=5)
    assert found.number != 61
    assert found.number == len(np.unique(found.labels))


def test_agreement_is_the_mean_of_scikit_learns_figures_over_runs():
    rng = np.random.default_rng(1)
    true = rng.choice(["a", "b", "c"], 200)
    runs = np.column_stack([np.where(rng.random(200) < share, true, "x") for share in (0.9, 0.6)])
    table = agreement(true, runs, seed=3, draws=40).set_index("metric")
    for name, score in (("ari", adjusted_rand_score), ("nmi", normalized_mutual_info_score)):
        values = [score(true, run) for run in runs.T]
        assert table.loc[name, "value"] == pytest.approx(np.mean(values))
        assert table.loc[name, "spread"] == pytest.approx(np.std(values, ddof=1))
    draws = np.random.default_rng(3)
    drawn = []
    for _ in range(40):
        rows = draws.integers(0, 200, 200)
        drawn.append(np.mean([adjusted_rand_score(true[rows], run[rows]) for run in runs.T]))
    assert table.loc["ari", ["low", "high"]].tolist() == pytest.approx(
        np.percentile(drawn, [2.5, 97.5]).tolist()
    )


def test_one_run_has_no_spread():
    true = np.repeat(["a", "b"], 10)
    table = agreement(true, (true == "a").astype(int)[:, None], seed=0, draws=10)
    assert table["value"].tolist() == [1.0, 1.0]
    assert table["spread"].isna().all()


def test_columns_of_any_scale_count_the_same():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 6))
    scaled = scaled_components(values * [1, 10, 100, 1, 1, 1000] + 7, seed=0)
    np.testing.assert_allclose(abs(scaled), abs(scaled_components(values, seed=0)), atol=1e-3)
    assert scaled.shape == (50, 5)


def test_the_silhouette_is_scikit_learns_also_of_cells_drawn(blood, monkeypatch):
    assert silhouette(*blood, seed=0) == pytest.approx(silhouette_score(*blood))
    monkeypatch.setattr(clustering, "_MOST_CELLS", 80)
    rows = np.sort(np.random.default_rng(5).choice(160, 80, replace=False))
    expected = silhouette_score(blood[0][rows], blood[1][rows])
    assert silhouette(*blood, seed=5) == pytest.approx(expected)


def test_labels_of_one_kind_have_no_silhouette():
    assert np.isnan(silhouette(np.eye(4), np.array(["a"] * 4), seed=0))

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from aidocell.report.umap import make_map, umap_coordinates
from aidocell.store import write_store
from aidocell.tables import about_table


def _store(path, n, width=8, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    write_store(ad.AnnData(obs=obs, obsm={"X_aidocell": vectors}), path, provenance={})
    return path


def test_the_same_seed_gives_the_same_map():
    vectors = np.random.default_rng(0).normal(size=(60, 70))
    first, method = umap_coordinates(vectors, seed=3)
    again, _ = umap_coordinates(vectors, seed=3)
    assert method == "umap"
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


def test_groups_that_lie_apart_stay_apart():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(0, 1, (40, 6)), rng.normal(9, 1, (40, 6))])
    places, _ = umap_coordinates(vectors)
    centres = places[:40].mean(axis=0), places[40:].mean(axis=0)
    spread = places[:40].std(axis=0).max()
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * spread


@pytest.mark.parametrize("n", [1, 2, 3, 14])
def test_a_few_cells_are_placed_by_components(n):
    places, method = umap_coordinates(np.random.default_rng(0).normal(size=(n, 5)))
    assert method == "pca"
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_cells_that_are_all_equal_get_places():
    places, _ = umap_coordinates(np.ones((20, 5)))
    assert np.isfinite(places).all()


def test_the_map_names_cells_by_sample_and_says_when_it_is_a_lot(tmp_path):
    stores = {"a": _store(tmp_path / "a.zarr.zip", 30), "b": _store(tmp_path / "b.zarr.zip", 10)}
    make_map(stores, tmp_path / "map.parquet", max_cells=20, seed=1)
    table = pd.read_parquet(tmp_path / "map.parquet")
    assert about_table(tmp_path / "map.parquet")["cells"] == 40
    assert list(table.columns) == ["cell", "sample", "x", "y"]
    assert len(table) == 20
    assert set(table["sample"]) == {"a", "b"}
    assert (table["cell"].str.split(":").str[0] == table["sample"]).all()
    assert table["cell"].is_unique


def test_a_map_within_the_limit_holds_every_cell_in_order(tmp_path):
    stores = {"a": _store(tmp_path / "a.zarr.zip", 5), "b": _store(tmp_path / "b.zarr.zip", 4)}
    make_map(stores, tmp_path / "map.parquet")
    cells = pd.read_parquet(tmp_path / "map.parquet")["cell"].tolist()
    assert cells == [f"a:cell{i}" for i in range(5)] + [f"b:cell{i}" for i in range(4)]

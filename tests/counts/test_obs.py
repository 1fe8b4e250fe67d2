from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from aidocell.counts.celltable import CellTable
from aidocell.counts.obs import storable, stored_columns
from aidocell.countstore import StoreWriter
from aidocell.store import read_store, write_store

COLUMNS = {
    "number": [1, 2],
    "missing number": [1.5, np.nan],
    "nullable": pd.array([1, None], dtype="Int64"),
    "truth": [True, False],
    "text": ["a", "b"],
    "missing text": ["a", None],
    "text type": pd.array(["a", None], dtype="string"),
    "nothing": [None, None],
    "mixed": [1, "b"],
    "date": pd.to_datetime(["2020-01-01 12:30:00", None]),
    "lists": [[1], [2, 3]],
    "categories": pd.Categorical(["x", None]),
    "numbers as categories": pd.Categorical([1, 2]),
    "equal categories": pd.Categorical([1, "1"]),
    "a/b": [1, 2],
    "_index": [1, 2],
    "": [1, 2],
    "..": [1, 2],
    7: [1, 2],
}


def stored(obs: pd.DataFrame, folder) -> pd.DataFrame:
    write_store(ad.AnnData(obs=storable(obs)), folder / "x.zarr.zip", provenance={})
    return read_store(folder / "x.zarr.zip").obs


@pytest.mark.parametrize("name", COLUMNS)
def test_any_column_can_be_stored_and_missing_values_stay_missing(name, tmp_path):
    obs = pd.DataFrame({name: COLUMNS[name]}, index=["x", "y"])
    found = stored(obs, tmp_path).iloc[:, 0]
    assert found.isna().tolist() == obs[name].isna().tolist()
    texts = [str(value) for value in found.dropna()]
    assert texts == [str(value) for value in obs[name].dropna()]


def test_names_that_a_store_cannot_have_are_changed_and_stay_apart(tmp_path):
    obs = pd.DataFrame([[1, 2, 3, 4]], index=["x"], columns=["a/b", "a_b", "a/b", "_index"])
    found = stored(obs, tmp_path)
    assert found.loc["x"].to_dict() == {"a_b": 1, "a_b_": 2, "a_b__": 3, "column_index": 4}


def test_further_columns_replace_those_of_the_file():
    cells = CellTable.of(pd.DataFrame({"donor": ["old", "old"], "n": [1, 2]}, index=["x", "y"]))
    added = CellTable.of(pd.DataFrame({"donor": ["b", "a"], "m": [3, 4]}, index=["x", "y"]))
    joined = cells.joined(added).frame()
    assert joined.columns.tolist() == ["donor", "n", "m"]
    assert joined["donor"].tolist() == ["b", "a"]
    assert cells.frame()["donor"].tolist() == ["old", "old"]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_by_itself_is_stored_as_in_its_table(name, tmp_path):
    obs = pd.DataFrame({name: COLUMNS[name]}, index=["x", "y"])
    with StoreWriter(
        tmp_path / "y.zarr.zip", var=pd.DataFrame(index=["g"]), provenance={}
    ) as store:
        store.append(sparse.csr_matrix((2, 1), dtype=np.int32))
        cells = CellTable.of(obs)
        store.write_cells(cells.names, stored_columns(cells, np.ones(2, bool)))
    found = read_store(tmp_path / "y.zarr.zip").obs
    pd.testing.assert_frame_equal(found, stored(obs, tmp_path))


def test_kept_cells_keep_the_categories_of_all():
    cells = CellTable.of(pd.DataFrame({"label": ["b", None, "a"]}, index=["x", "y", "z"]))
    (column,) = (values for _, values in stored_columns(cells, np.array([True, True, False])))
    assert column.categories.tolist() == ["a", "b"]
    assert column.codes.tolist() == [1, -1]

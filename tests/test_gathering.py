import hashlib
import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import write_elem
from scipy import sparse

from aidocell.errors import InputError, MachineError
from aidocell.gathering import gather
from aidocell.planning import plan_shards
from aidocell.seal import pack
from aidocell.store import (
    EMBEDDING,
    StoreReader,
    deterministic,
    export,
    new_store,
    read_store,
    write_store,
)

CHECKPOINT = {
    "id": "some/model",
    "sha256": "c" * 64,
    "genes_sha256": "9" * 64,
    "revision": None,
    "demonstration": False,
}
OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
WIDTH = 8


def cell_table(cells):
    """One column of every kind that a store can hold."""
    place = np.arange(cells)
    columns = {
        "number": place / 7,
        "whole": place,
        "truth": place % 3 == 0,
        "text": [f"t{i % 5} é" for i in place],
        "kind": pd.Categorical.from_codes(place % 3 - 1, ["b", "a", "never"]),
        "maybe": pd.array([None if i % 4 == 0 else i for i in place], dtype="Int64"),
    }
    return pd.DataFrame(columns, index=[f"cell{i}-1" for i in place])


class Sample:
    """Counts of made-up cells, and vectors that stand in for their embeddings."""

    def __init__(self, folder, cells=100, left_out=()):
        self.folder, self.obs = folder, cell_table(cells)
        self.left_out = [f"cell{i}-1" for i in left_out]
        self.vectors = np.random.default_rng(0).normal(size=(cells, WIDTH)).astype(np.float32)
        self.counts, self.plan = folder / "counts.zarr.zip", folder / "shards.json"
        counts = ad.AnnData(
            sparse.csr_matrix((cells, 3), dtype=np.int32),
            obs=self.obs,
            var=pd.DataFrame({"measured": True}, index=["g0", "g1", "g2"]),
        )
        genes = {"genes_sha256": "9" * 64, "input_sha256": "1" * 64, "counts_digest": "d" * 64}
        write_store(counts, self.counts, provenance=genes)

    def shards(self, size, **changes):
        """Shards of `size` cells as their jobs leave them, and the plan that they belong to."""
        planned = plan_shards(
            self.counts,
            self.plan,
            checkpoint=CHECKPOINT,
            shard_cells=size,
            cells_per_second=1.0,
            **OPTIONS,
        )
        folder = self.folder / f"shards-{size}"
        return [
            self.shard(folder, start, min(start + size, len(self.obs)), planned, **changes)
            for start in range(0, len(self.obs), size)
        ]

    def shard(self, folder, start, stop, planned, vectors=None):
        names = self.obs.index[start:stop]
        held = ~names.isin(self.left_out)
        table = ad.AnnData(
            obs=pd.DataFrame(index=names[held]),
            obsm={EMBEDDING: (self.vectors if vectors is None else vectors)[start:stop][held]},
        )
        left_out = names[~held].tolist()
        provenance = {"stage": "embed", "run_key": planned["run_key"], "input_sha256": "0" * 64}
        provenance |= {"left_out": left_out} if left_out else {}
        path = folder / f"{start}-{stop}.zarr.zip"
        write_store(table, path, provenance=provenance)
        return path

    def gathered(self, shards, name="e"):
        output = self.folder / f"{name}.zarr.zip"
        gather(self.counts, self.plan, shards, output)
        return output


@pytest.fixture
def sample(tmp_path):
    return Sample(tmp_path, left_out=[3, 50, 99])


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_gathered_is_what_anndata_would_write_of_the_whole(sample):
    held = ~sample.obs.index.isin(sample.left_out)
    whole = ad.AnnData(obs=sample.obs[held], obsm={EMBEDDING: sample.vectors[held]})
    write_store(whole, sample.folder / "whole.zarr.zip", provenance={})
    found = read_store(sample.gathered(sample.shards(30)))
    expected = read_store(sample.folder / "whole.zarr.zip")
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert np.array_equal(found.obsm[EMBEDDING], expected.obsm[EMBEDDING])
    assert found.obsm[EMBEDDING].dtype == np.float32
    assert found.uns["aidocell"]["left_out"] == sample.left_out
    assert found.uns["aidocell"]["input_sha256"] == "1" * 64


def test_the_sizes_of_shards_and_ranges_change_no_byte(sample, monkeypatch):
    paths = [sample.gathered(sample.shards(size), name=f"e{size}") for size in (33, 100)]
    monkeypatch.setattr("aidocell.gathering.RANGE", 16)
    paths.append(sample.gathered(sample.shards(50), name="ranges"))
    assert len({sha256(path) for path in paths}) == 1


def test_the_size_of_chunks_changes_no_value(sample, monkeypatch):
    expected = read_store(sample.gathered(sample.shards(40)))
    monkeypatch.setattr("aidocell.rows.RANGE", 16)
    monkeypatch.setattr("aidocell.rows._ELEMENTS", 10 * WIDTH)
    found = read_store(sample.gathered(sample.shards(25), name="chunks"))
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert np.array_equal(found.obsm[EMBEDDING], expected.obsm[EMBEDDING])


def test_rows_of_an_opened_store_are_those_of_the_whole(sample):
    path = sample.gathered(sample.shards(40))
    whole = read_store(path)
    wanted = np.zeros(97, bool)
    wanted[[0, 5, 60, 96]] = True
    with StoreReader(path) as store:
        assert store.shape == (97, 0)
        assert store.columns == list(whole.obs)
        assert store.cells(3, 9).tolist() == whole.obs_names[3:9].tolist()
        pd.testing.assert_frame_equal(store.table(wanted), whole.obs[wanted])
        pd.testing.assert_frame_equal(
            store.table(wanted, ["kind"]), whole.obs.loc[wanted, ["kind"]]
        )
        vectors = np.concatenate(list(store.vectors(wanted)))
        assert np.array_equal(vectors, whole.obsm[EMBEDDING][wanted])


def test_what_is_exported_is_what_anndata_reads_of_the_store(sample, monkeypatch):
    monkeypatch.setattr("aidocell.rows.RANGE", 16)
    for path in (sample.counts, sample.gathered(sample.shards(40))):
        export(path, path.with_suffix(".h5ad"))
        found, expected = ad.read_h5ad(path.with_suffix(".h5ad")), read_store(path)
        pd.testing.assert_frame_equal(found.obs, expected.obs)
        pd.testing.assert_frame_equal(found.var, expected.var)
        assert found.obsm.keys() == expected.obsm.keys()
        assert (found.X is None) == (expected.X is None)
        assert found.uns["aidocell"]["input_sha256"] == "1" * 64
    assert np.array_equal(found.obsm[EMBEDDING], expected.obsm[EMBEDDING])
    assert found.uns["aidocell"]["left_out"].tolist() == sample.left_out


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_shard_too_few_or_twice_is_noticed(sample, place):
    shards = sample.shards(25)
    for wrong in (shards[:place] + shards[place + 1 :], [*shards, shards[place]]):
        with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*cells"):
            sample.gathered(wrong)
    assert not (sample.folder / "e.zarr.zip").exists()


def test_shards_of_cells_in_another_order_are_refused(sample):
    shards = sample.shards(25)
    turned = Sample(sample.folder / "turned")
    turned.obs = turned.obs[::-1]
    planned = {"run_key": read_store(shards[0]).uns["aidocell"]["run_key"]}
    shards[1] = turned.shard(sample.folder / "other", 25, 50, planned)
    with pytest.raises(InputError, match=r"E_STORE_MISMATCH.*cells"):
        sample.gathered(shards)


def test_vectors_that_are_no_numbers_are_refused(sample):
    vectors = sample.vectors.copy()
    vectors[70, 2] = np.nan
    shards = sample.shards(25, vectors=vectors)
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*50-75.*NaN"):
        sample.gathered(shards)
    assert not (sample.folder / "e.zarr.zip").exists()


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(sample, monkeypatch):
    shards = sample.shards(50)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(MachineError, match="E_DISK_FULL"):
        sample.gathered(shards)


@pytest.mark.parametrize("place", [0.3, 0.999])
def test_a_store_that_the_disk_does_not_give_back_gets_no_name(tmp_path, monkeypatch, place):
    def bad_disk(folder, target):
        pack(folder, target)
        content = bytearray(target.read_bytes())
        content[int(place * len(content))] ^= 1
        target.write_bytes(content)

    monkeypatch.setattr("aidocell.store.pack", bad_disk)
    with pytest.raises(MachineError, match=r"E_DISK_FAILED.*e\.zarr\.zip"):
        write_store(ad.AnnData(obs=cell_table(50)), tmp_path / "e.zarr.zip", provenance={})
    assert list(tmp_path.iterdir()) == []


def in_small_chunks(sample):
    """Rewrite the counts with the table of the cells in chunks of `rows.RANGE`, as for many cells."""
    held = np.ones(len(sample.obs), bool)
    with (
        StoreReader(sample.counts) as store,
        new_store(sample.folder / "small.zarr.zip", overwrite=False) as folder,
        deterministic(),
    ):
        group = zarr.open_group(folder, mode="w", zarr_format=3)
        empty = ad.AnnData(var=store.var, uns={"aidocell": store.provenance})
        write_elem(group, "/", empty)
        store.copy_table(group.create_group("obs", overwrite=True), held)
    (sample.folder / "small.zarr.zip").replace(sample.counts)


def peak(sample, shards):
    tracemalloc.start()
    try:
        sample.gathered(shards)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("aidocell.rows.RANGE", 500)
    monkeypatch.setattr("aidocell.gathering.RANGE", 500)
    monkeypatch.setattr("aidocell.rows._ELEMENTS", 500 * WIDTH)
    peaks = []
    for cells in (1_000, 8_000):
        (tmp_path / str(cells)).mkdir()
        sample = Sample(tmp_path / str(cells), cells)
        in_small_chunks(sample)
        peaks.append(peak(sample, sample.shards(1_000)))
    assert peaks[1] < 1.3 * peaks[0]

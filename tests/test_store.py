import hashlib
import shutil
import zipfile

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from aidocell.countstore import StoreWriter
from aidocell.errors import InputError
from aidocell.store import StoreReader, export, read_store, verify, write_store
from aidocell.texts import Texts

VAR = pd.DataFrame({"measured": True}, index=[f"g{i}" for i in range(30)])
COUNTS = sparse.random(57, 30, 0.3, format="csr", random_state=0, dtype=np.float64)
COUNTS.data = np.ceil(COUNTS.data * 9)
OBS = pd.DataFrame(
    {"batch": pd.Categorical(["a", "b", "a"] * 19), "zero": 0.0}, index=[f"c{i}" for i in range(57)]
)


def write_counts(path, *, step=57, var=VAR, obs=OBS):
    with StoreWriter(path, var=var, provenance={"stage": "align", "revision": 1}) as store:
        for start in range(0, 57, step):
            store.append(COUNTS[start : start + step])
        store.write_cells(Texts.of(obs.index), ((name, obs[name]._values) for name in obs))
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_counts_come_back_as_they_went_in(tmp_path):
    adata = read_store(write_counts(tmp_path / "c.zarr.zip"))
    assert (adata.X != COUNTS).nnz == 0
    assert adata.X.dtype == np.int32
    pd.testing.assert_frame_equal(adata.obs, OBS, check_names=False)
    assert adata.var["measured"].all()
    assert adata.uns["aidocell"]["stage"] == "align"


def test_bytes_do_not_depend_on_the_chunks_in_which_cells_came(tmp_path):
    paths = [write_counts(tmp_path / f"{step}.zarr.zip", step=step) for step in (1, 10, 57)]
    assert len({sha256(path) for path in paths}) == 1


@pytest.mark.parametrize(("start", "stop"), [(0, 57), (3, 4), (10, 40), (5, 5)])
def test_rows_read_from_the_file_are_the_rows_of_the_whole(tmp_path, start, stop):
    with StoreReader(write_counts(tmp_path / "c.zarr.zip")) as store:
        assert (store.rows(start, stop) != COUNTS[start:stop]).nnz == 0
        assert store.shape == (57, 30)


def test_chunks_cover_every_row_once(tmp_path):
    with StoreReader(write_counts(tmp_path / "c.zarr.zip")) as store:
        parts = dict(store.chunks(size=10))
    assert list(parts) == [0, 10, 20, 30, 40, 50]
    assert (sparse.vstack(list(parts.values())) != COUNTS).nnz == 0


def digest(path):
    with StoreReader(path) as store:
        return store.provenance["counts_digest"]


def test_digest_follows_counts_names_and_genes_but_not_labels(tmp_path):
    same = write_counts(tmp_path / "a.zarr.zip")
    labels = write_counts(tmp_path / "b.zarr.zip", obs=OBS.assign(batch="z"))
    names = write_counts(tmp_path / "c.zarr.zip", obs=OBS.rename({"c3": "other"}))
    genes = write_counts(tmp_path / "d.zarr.zip", var=VAR.rename({"g3": "other"}))
    measured = write_counts(tmp_path / "e.zarr.zip", var=VAR.assign(measured=[False] + [True] * 29))
    assert digest(same) == digest(labels)
    assert len({digest(path) for path in (same, names, genes, measured)}) == 4


def fail_half_way(path):
    with StoreWriter(path, var=VAR, provenance={}) as store:
        store.append(COUNTS)
        raise ZeroDivisionError


def test_a_failing_writer_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "c.zarr.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_count_too_large_for_the_store_is_refused_rather_than_wrapped(tmp_path):
    huge = sparse.csr_matrix(np.array([[2**31]], dtype=np.int64))
    with (
        pytest.raises(InputError, match="E_MATRIX_TYPE"),
        StoreWriter(tmp_path / "c.zarr.zip", var=VAR[:1], provenance={}) as store,
    ):
        store.append(huge)


def test_an_output_that_is_there_is_kept_unless_overwriting(tmp_path):
    path = tmp_path / "e.zarr.zip"
    write_store(ad.AnnData(obs=OBS), path, provenance={"n": 1})
    with pytest.raises(InputError, match="E_OUTPUT_EXISTS"):
        write_store(ad.AnnData(obs=OBS), path, provenance={"n": 2})
    write_store(ad.AnnData(obs=OBS), path, provenance={"n": 3}, overwrite=True)
    assert read_store(path).uns["aidocell"] == {"n": 3}


def test_writing_leaves_the_callers_data_alone(tmp_path):
    adata = ad.AnnData(obs=OBS.assign(text=["x"] * 57), uns={"mine": 1})
    write_store(adata, tmp_path / "e.zarr.zip", provenance={"n": 1})
    assert set(adata.uns) == {"mine"}
    assert adata.obs["text"].dtype == object


@pytest.fixture(scope="module")
def good_store(tmp_path_factory):
    return write_counts(tmp_path_factory.mktemp("store") / "c.zarr.zip")


def test_every_changed_byte_is_noticed(good_store, tmp_path):
    original = good_store.read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / "flipped.zarr.zip"
    for position in [0, len(original) - 1, *generator.integers(0, len(original), 300)]:
        changed = bytearray(original)
        changed[position] ^= 1 << generator.integers(8)
        path.write_bytes(changed)
        with pytest.raises(InputError, match="E_STORE_DAMAGED"):
            verify(path)


@pytest.mark.parametrize("length", [0, 1, 100, 5000, -1])
def test_a_torn_store_does_not_open(good_store, tmp_path, length):
    path = tmp_path / "torn.zarr.zip"
    path.write_bytes(good_store.read_bytes()[:length])
    for read in (verify, read_store, lambda p: StoreReader(p).__enter__()):
        with pytest.raises(InputError, match="E_STORE_DAMAGED"):
            read(path)


def test_a_missing_chunk_is_noticed_by_the_row_reader(good_store, tmp_path):
    path = tmp_path / "hole.zarr.zip"
    with zipfile.ZipFile(good_store) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name != "X/data/c/0":
                target.writestr(name, source.read(name))
        target.comment = source.comment
    with pytest.raises(InputError, match=r"E_STORE_DAMAGED.*X/data"), StoreReader(path):
        pass


def test_rows_of_a_damaged_chunk_are_refused(good_store, tmp_path):
    path = tmp_path / "flipped.zarr.zip"
    shutil.copy(good_store, path)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("X/data/c/0")
        offset = info.header_offset + 30 + len(info.filename) + info.file_size // 2
    with path.open("r+b") as handle:
        handle.seek(offset)
        byte = handle.read(1)
        handle.seek(offset)
        handle.write(bytes([byte[0] ^ 16]))
    with StoreReader(path) as store, pytest.raises(InputError, match="E_STORE_DAMAGED"):
        store.rows(0, 57)


def test_export_opens_in_anndata(good_store, tmp_path):
    export(good_store, tmp_path / "c.h5ad")
    exported = ad.read_h5ad(tmp_path / "c.h5ad")
    assert (exported.X != COUNTS).nnz == 0
    assert exported.uns["aidocell"]["stage"] == "align"


def test_nobody_is_told_to_delete_data_that_are_no_output(tmp_path):
    ad.AnnData(np.ones((2, 2), "f4")).write_h5ad(tmp_path / "mine.h5ad")
    (tmp_path / "mine.zarr.zip").write_bytes((tmp_path / "mine.h5ad").read_bytes())
    for name, id in (("mine.h5ad", "E_FILE_FORMAT"), ("mine.zarr.zip", "E_STORE_DAMAGED")):
        with pytest.raises(InputError) as refused:
            export(tmp_path / name, tmp_path / "out.h5ad")
        assert refused.value.id == id
        assert "delete" not in refused.value.fix

"""Any matrix in any format is read as what was written, or refused with an id."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from make_files import FORMATS, barcodes, gene_names, write_10x, write_mtx, write_zarr
from scipy import sparse

from aidocell.counts import formats, probe, read_counts
from aidocell.errors import InputError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
DTYPES = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i4", ">f8"])
POINTERS = st.sampled_from(["i2", "u2", "i4", "u4", "i8", "u8", ">i4"])


@st.composite
def counted(draw) -> np.ndarray:
    """Whole numbers that every type holds, a good part of them zero."""
    shape = draw(SHAPES)
    values = hnp.arrays(np.int64, shape, elements=st.integers(0, 100))
    return draw(values) * draw(hnp.arrays(np.bool_, shape))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """A child for each of hundreds of files would take minutes; `test_hostile_files` has it."""

    def told(path):
        located = formats.locate(path)
        kind = located.kind
        if kind == "hdf5":
            with h5py.File(path) as file:
                kind = "h5ad" if "obs" in file else "10x-h5"
        return formats.Located(located.path, kind, located.root)

    monkeypatch.setattr("aidocell.counts.source.probe", told)
    assert probe.probe is not told


def table(values: object) -> ad.AnnData:
    n_cells, n_genes = values.shape
    symbols, ids = gene_names(n_genes)
    var = pd.DataFrame({"gene_ids": ids}, index=symbols)
    return ad.AnnData(values, obs=pd.DataFrame(index=barcodes(n_cells)), var=var)


def stored(values: np.ndarray, folder: Path, form: str, dtype: str, pointer: str) -> Path:
    """The values in a format, in these types where the format has a choice."""
    path = folder / f"x.{form}"
    if form == "mtx":
        return write_mtx(values, path)
    if form.startswith("10x"):
        write_10x(values, path, version=int(form[-1]))
        return _retyped(path, "matrix" if form[-1] == "3" else "GRCh38", dtype, pointer)
    if form.startswith("h5ad"):
        kind = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
        stored = kind[form[5:]](values.astype(np.dtype(dtype).newbyteorder("=")))
        table(stored).write_h5ad(path)
        return _retyped(path, "X", dtype, pointer)
    return write_zarr(values, folder, form)


def _retyped(path: Path, group: str, dtype: str, pointer: str) -> Path:
    with h5py.File(path, "r+") as file:
        if isinstance(file[group], h5py.Dataset):
            return path
        for name, kind in (("data", dtype), ("indices", pointer), ("indptr", pointer)):
            content = file[group][name][()].astype(kind)
            del file[group][name]
            file[group][name] = content
    return path


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=counted(), dtype=DTYPES, pointer=POINTERS)
def test_what_is_read_is_what_was_written(form, values, dtype, pointer):
    folder = Path(tempfile.mkdtemp(prefix="aidocell-"))
    try:
        read = read_counts(stored(values, folder, form, dtype, pointer))
    finally:
        shutil.rmtree(folder)
    np.testing.assert_array_equal(read.X.toarray(), values)
    assert read.X.has_canonical_format
    assert list(read.obs_names) == barcodes(len(values))
    assert list(read.var_names) == gene_names(values.shape[1])[0]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=hnp.arrays(st.sampled_from(["f4", "i4", "u1", "?", "c8", "S2"]), st.integers(0, 9)),
    indices=hnp.arrays(st.sampled_from(["i4", "i8", "u2", "f4"]), st.integers(0, 9)),
    indptr=hnp.arrays(st.sampled_from(["i4", "i8", "u8", "f8"]), st.integers(0, 5)),
    kind=st.sampled_from(["csr", "csc"]),
)
def test_any_three_arrays_for_a_matrix_are_read_or_refused(data, indices, indptr, kind):
    folder = Path(tempfile.mkdtemp(prefix="aidocell-"))
    try:
        table(sparse.csr_matrix((3, 3), dtype="f4")).write_h5ad(folder / "x.h5ad")
        with h5py.File(folder / "x.h5ad", "r+") as file:
            file["X"].attrs["encoding-type"] = f"{kind}_matrix"
            for name, content in (("data", data), ("indices", indices), ("indptr", indptr)):
                del file["X"][name]
                file["X"][name] = content
        read = read_counts(folder / "x.h5ad")
        assert read.X.data.min(initial=1) > 0
    except InputError as error:
        assert error.id.startswith(("E_MATRIX", "E_N", "E_FILE_DAMAGED"))  # noqa: PT017
    finally:
        shutil.rmtree(folder)

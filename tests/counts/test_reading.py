from __future__ import annotations

import gzip
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from make_files import (
    FORMATS,
    GENES,
    IDS,
    anndata,
    barcodes,
    counts,
    edit,
    pack,
    replace,
    write,
    write_10x,
    write_mtx,
    write_zarr,
)
from scipy import sparse

from aidocell.counts import InputOptions, open_counts, read_counts, source
from aidocell.counts.cells import listed_cells
from aidocell.counts.formats import locate
from aidocell.counts.matrix import SparseByCell
from aidocell.counts.spill import spill


@pytest.fixture
def values() -> np.ndarray:
    return counts()


def dense(adata: ad.AnnData) -> list[list[int]]:
    return adata.X.toarray().tolist()


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_table(form, values, tmp_path):
    adata = read_counts(write(values, tmp_path, form))
    assert dense(adata) == values.tolist()
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.int32
    assert adata.obs_names.tolist() == barcodes(5)
    assert adata.var_names.tolist() == list(GENES)
    assert adata.var["gene_ids"].tolist() == list(IDS)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("h5ad-csr", "h5ad"), ("10x-v2", "10x-h5"), ("mtx", "10x-mtx"), ("zip", "zarr")],
)
def test_a_format_is_told_by_content_not_by_name(form, expected, values, tmp_path):
    path = write(values, tmp_path, form)
    renamed = path.rename(tmp_path / "sample.txt")
    with open_counts(renamed) as opened:
        assert opened.format == expected
        assert opened.shape == values.shape


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    matrix=arrays.arrays(
        np.int64,
        st.tuples(st.integers(1, 6), st.integers(1, 7)),
        elements=st.sampled_from([0, 0, 0, 1, 2, 70_000, 2**24]),
    ),
    form=st.sampled_from(FORMATS),
    size=st.integers(1, 7),
)
def test_any_matrix_comes_back_whatever_the_format_and_chunk(matrix, form, size, tmp_path_factory):
    path = write(matrix, tmp_path_factory.mktemp("files"), form)
    with open_counts(path) as opened:
        parts = list(opened.chunks(size))
    assert [start for start, _ in parts] == list(range(0, len(matrix), size))
    joined = sparse.vstack([part for _, part in parts])
    assert joined.toarray().tolist() == matrix.tolist()
    assert joined.nnz == np.count_nonzero(matrix)


def test_a_user_block_before_the_hdf5_signature_is_passed_over(values, tmp_path):
    path = write(values, tmp_path, "h5ad-csr")
    moved = h5py.File(tmp_path / "moved.h5ad", "w", userblock_size=1024)
    with moved, h5py.File(path) as file:
        for name in file:
            file.copy(name, moved)
        moved.attrs.update(file.attrs)
    assert dense(read_counts(tmp_path / "moved.h5ad")) == values.tolist()


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_matrix_folders_of_all_ages_are_read(gz, columns, values, tmp_path):
    folder = write_mtx(values, tmp_path / "old", gz=gz, columns=columns)
    with open_counts(folder) as opened:
        assert opened.gene_names.ids == list(IDS)
        assert opened.gene_names.symbols == (list(GENES) if columns > 1 else None)
    assert dense(read_counts(folder)) == values.tolist()


def test_a_matrix_folder_in_any_order_of_entries_is_read(values, tmp_path):
    assert dense(read_counts(write_mtx(values, tmp_path / "m", shuffle=True))) == values.tolist()


def test_real_valued_matrix_market_counts_are_read(values, tmp_path):
    folder = write_mtx(values.astype(float), tmp_path / "m", gz=False)
    assert " real " in (folder / "matrix.mtx").read_text().splitlines()[0]
    assert dense(read_counts(folder)) == values.tolist()


def test_a_zip_of_a_store_in_a_folder_is_read(values, tmp_path):
    packed = pack(write_zarr(values, tmp_path, "zarr-v2"), inside="sample.zarr/")
    assert locate(packed).root == "sample.zarr"
    assert dense(read_counts(packed)) == values.tolist()


def test_entries_spilled_to_disk_come_back_as_rows():
    whole = sparse.random(50, 20, density=0.3, random_state=1, format="csc")
    genes = np.repeat(np.arange(20), np.diff(whole.indptr))

    def blocks():
        for begin in range(0, whole.nnz, 7):
            part = slice(begin, begin + 7)
            yield genes[part], whole.indices[part], whole.data[part]

    for most in (1, 40, 1000):  # entries of a range of cells
        data, indices, indptr = spill(blocks, 50, whole.dtype, most=most)
        turned = sparse.csr_matrix((data[:], indices[:], indptr), shape=whole.shape)
        assert (turned != whole.tocsr()).nnz == 0


def test_a_chunk_is_cut_where_it_would_hold_too_many_entries(values, monkeypatch):
    monkeypatch.setattr("aidocell.counts.matrix._ENTRIES", 8)
    whole = sparse.csr_matrix(values)
    matrix = SparseByCell(whole.data, whole.indices, whole.indptr, 6, path="x", where="x")
    parts = list(matrix.chunks(5))
    assert len(parts) > 1
    assert sparse.vstack([part for _, part in parts]).toarray().tolist() == values.tolist()


# ---------------------------------------------------------------- older encodings


def legacy(file: h5py.File) -> None:
    """What anndata 0.6 wrote: h5sparse attributes, tables as records, categories in uns."""
    for name in ("encoding-type", "encoding-version"):
        file.attrs.pop(name, None)
        file["X"].attrs.pop(name, None)
    file["X"].attrs["h5sparse_format"] = "csr"
    file["X"].attrs["h5sparse_shape"] = file["X"].attrs.pop("shape")
    for name in ("obs", "var", "uns"):
        del file[name]
    cells = [(name.encode(), i % 2, i / 2) for i, name in enumerate(barcodes(5))]
    file["obs"] = np.array(cells, dtype=[("index", "S20"), ("donor", "i1"), ("age", "f4")])
    genes = [(name.encode(), id.encode()) for name, id in zip(GENES, IDS, strict=True)]
    file["var"] = np.array(genes, dtype=[("index", "S20"), ("gene_ids", "S20")])
    file["uns/donor_categories"] = np.array([b"d1", b"d2"])


def test_files_of_anndata_0_6_are_read(values, tmp_path):
    adata = read_counts(edit(write(values, tmp_path, "h5ad-csr"), legacy))
    assert dense(adata) == values.tolist()
    assert adata.obs["donor"].tolist() == ["d1", "d2", "d1", "d2", "d1"]
    assert adata.obs["age"].tolist() == [0, 0.5, 1, 1.5, 2]
    assert adata.var["gene_ids"].tolist() == list(IDS)


def categories_beside_columns(file: h5py.File) -> None:
    """What anndata 0.7 wrote: codes as the column, categories in a group beside the columns."""
    del file["obs/donor"]
    file["obs"].attrs["encoding-version"] = "0.1.0"
    file["obs/donor"] = np.array([0, 1, 0, 1, -1], dtype=np.int8)
    file["obs/__categories/donor"] = np.array(["d1", "d2"], dtype=h5py.string_dtype())
    file["obs/__categories/donor"].attrs["ordered"] = False
    file["obs/donor"].attrs["categories"] = file["obs/__categories/donor"].ref


def test_categories_of_anndata_0_7_are_read(values, tmp_path):
    adata = read_counts(edit(write(values, tmp_path, "h5ad-csr"), categories_beside_columns))
    assert adata.obs["donor"].astype(object).fillna("").tolist() == ["d1", "d2", "d1", "d2", ""]
    assert adata.obs.columns.tolist() == ["donor"]


def test_tables_are_read_as_anndata_reads_them(values, tmp_path):
    adata = anndata(values)
    adata.obs["n"] = np.arange(5)
    adata.obs["note"] = ["a", None, "c", "d", "e"]
    adata.obs["yes"] = pd.array([True, False, None, True, True], dtype="boolean")
    adata.obs["whole"] = pd.array([1, 2, None, 4, 5], dtype="Int64")
    adata.obs.index.name = "barcode"
    adata.write_h5ad(tmp_path / "x.h5ad")
    expected = ad.read_h5ad(tmp_path / "x.h5ad").obs
    pd.testing.assert_frame_equal(read_counts(tmp_path / "x.h5ad").obs, expected)


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_a_layer_or_raw_is_read_instead_of_x(form, values, tmp_path):
    adata = anndata(np.log1p(values))
    adata.layers["counts"] = anndata(values, kind=form).X
    adata.raw = anndata(np.hstack([values, values[:, :1]]), kind=form)
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert dense(read_counts(tmp_path / "x.h5ad", layer="counts")) == values.tolist()
    raw = read_counts(tmp_path / "x.h5ad", layer="raw")
    assert raw.shape == (5, 7)
    assert raw.X.toarray()[:, :6].tolist() == values.tolist()
    assert raw.var_names[-1] == "GENE6"


def test_raw_of_anndata_0_6_is_read(values, tmp_path):
    adata = anndata(np.log1p(values))
    adata.raw = anndata(values)
    adata.write_h5ad(tmp_path / "x.h5ad")

    def flatten(file):
        file.move("raw/X", "raw.X")
        file.move("raw/var", "raw.var")
        del file["raw"]

    assert dense(read_counts(edit(tmp_path / "x.h5ad", flatten), layer="raw")) == values.tolist()


# ---------------------------------------------------------------- features and genomes


def test_only_gene_expression_rows_are_read_and_the_others_counted(values, tmp_path):
    types = ["Gene Expression"] * 4 + ["Antibody Capture", "CRISPR Guide Capture"]
    for path in (
        write_10x(values, tmp_path / "x.h5", types=types),
        write_mtx(values, tmp_path / "mtx", types=types),
    ):
        with open_counts(path) as opened:
            assert opened.feature_types == {
                "Gene Expression": 4,
                "Antibody Capture": 1,
                "CRISPR Guide Capture": 1,
            }
            assert opened.var.index.tolist() == list(GENES[:4])
        assert dense(read_counts(path)) == values[:, :4].tolist()


@pytest.mark.parametrize("spelling", ["GEX", "gene_expression", "Gene expression"])
def test_a_multi_modal_h5ad_is_read_whatever_the_spelling(spelling, values, tmp_path):
    adata = anndata(values)
    adata.var["feature_types"] = pd.Categorical([spelling] * 5 + ["ADT"])
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert dense(read_counts(tmp_path / "x.h5ad")) == values[:, :5].tolist()


def test_values_of_other_features_are_not_held_against_the_contract(values, tmp_path):
    matrix = values.astype(float)
    matrix[0, 5] = -1.5  # a normalised antibody
    adata = anndata(matrix)
    adata.var["feature_types"] = ["Gene Expression"] * 5 + ["Antibody Capture"]
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert dense(read_counts(tmp_path / "x.h5ad")) == values[:, :5].tolist()


def test_of_a_mixed_reference_the_human_rows_are_read(values, tmp_path):
    genomes = ["GRCh38"] * 4 + ["mm10"] * 2
    symbols = [f"GRCh38_{name}" for name in GENES[:4]] + ["mm10___Actb", "mm10___Cd4"]
    ids = [f"GRCh38_{id}" for id in IDS[:4]] + ["mm10___ENSMUSG00000000001"] * 2
    path = write_10x(values, tmp_path / "x.h5", genomes=genomes, symbols=symbols, ids=ids)
    with open_counts(path) as opened:
        assert opened.other_genome == 2
        assert opened.gene_names.symbols == list(GENES[:4])
        assert opened.gene_names.ids == list(IDS[:4])
    assert dense(read_counts(path)) == values[:, :4].tolist()


def test_of_two_genome_groups_the_human_one_is_read(values, tmp_path):
    path = write_10x(values, tmp_path / "x.h5", version=2)

    def add_mouse(file):
        file.copy("GRCh38", "a_mm10")

    with open_counts(edit(path, add_mouse)) as opened:
        assert opened.other_genome == 6
        assert opened.gene_names.symbols == list(GENES)


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("form", ["{}\n", "{}\tT cell\n", '"{}",T cell\n'])
@pytest.mark.parametrize("header", ["", "barcode\tlabel\n", "cell_id\n"])
def test_a_list_of_cells_may_be_text_or_a_table(gz, form, header, tmp_path):
    names = barcodes(3)
    text = header + "\n".join(map(form.format, names)) + "\n\n"
    listing = tmp_path / "cells"
    listing.write_bytes(gzip.compress(text.encode()) if gz else text.encode())
    assert list(listed_cells(listing)) == names


def test_listed_cells_are_read_in_the_order_of_the_file(values, tmp_path):
    names = barcodes(5)
    (tmp_path / "cells").write_text(f"{names[3]}\n{names[1]}\n")
    adata = read_counts(write(values, tmp_path, "h5ad-csr"), cells=tmp_path / "cells")
    assert adata.obs_names.tolist() == [names[1], names[3]]
    assert adata.obs["donor"].tolist() == ["d1", "d1"]
    assert dense(adata) == values[[1, 3]].tolist()


def test_chunks_of_listed_cells_count_from_their_first(values, tmp_path):
    names = barcodes(5)
    listing = tmp_path / "cells.txt"
    listing.write_text("\n".join([names[4], names[0], names[2], "NOT-THERE"]))
    path = write(values, tmp_path, "h5ad-csr")
    with open_counts(path, InputOptions(cells=listing)) as opened:
        parts = [(start, part.toarray().tolist()) for start, part in opened.chunks(2)]
    assert parts == [
        (0, [values[0].tolist()]),
        (1, [values[2].tolist()]),
        (2, [values[4].tolist()]),
    ]


def test_listed_cells_that_are_not_there_are_counted_in_a_warning(values, tmp_path, caplog):
    listing = tmp_path / "cells.txt"
    listing.write_text(f"{barcodes(1)[0]}\nNOT-THERE\nNOR-THIS\n")
    read_counts(write(values, tmp_path, "h5ad-csr"), cells=listing)
    assert "2 of the cells listed" in caplog.text
    assert "NOT-THERE, NOR-THIS" in caplog.text


# ---------------------------------------------------------------- values


def test_counts_beyond_32_bits_are_kept(values, tmp_path):
    values[0, 0] = 2**40
    adata = read_counts(write_10x_wide(values, tmp_path / "x.h5"))
    assert adata.X.dtype == np.int64
    assert adata.X[0, 0] == 2**40


def write_10x_wide(values: np.ndarray, path: Path) -> Path:
    write_10x(np.minimum(values, 9), path)
    wide = sparse.csr_matrix(values).data
    return edit(path, lambda file: replace(file, "matrix/data", wide.astype(np.int64)))


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i8", "f2", "f8"])
def test_any_number_type_is_accepted(kind, values, tmp_path):
    adata = anndata(values)
    adata.X = adata.X.astype(np.float64 if kind == "f2" else kind)
    adata.write_h5ad(tmp_path / "x.h5ad")
    if kind == "f2":
        edit(tmp_path / "x.h5ad", lambda f: replace(f, "X/data", f["X/data"][()].astype("f2")))
    assert dense(read_counts(tmp_path / "x.h5ad")) == values.tolist()


def test_stored_zeros_and_unsorted_genes_are_tidied(values, tmp_path):
    def disorder(file):
        begin, end = file["X/indptr"][:2]
        for name in ("data", "indices"):
            content = file[f"X/{name}"][()]
            content[begin:end] = content[begin:end][::-1]
            replace(file, f"X/{name}", content)
        content = file["X/data"][()]
        content[-1] = 0
        replace(file, "X/data", content)

    path = edit(write(values, tmp_path, "h5ad-csr"), disorder)
    (_, chunk), *_ = list(open_counts(path).chunks())
    assert chunk[0].indices.tolist() == sorted(chunk[0].indices)
    assert chunk.data.all()
    expected = values.copy()
    expected[4, np.flatnonzero(expected[4])[-1]] = 0
    assert chunk.toarray().tolist() == expected.tolist()


def test_estimated_counts_are_rounded_when_asked(values, tmp_path):
    estimated = values.astype(float)
    estimated[0, 0], estimated[1, 1] = 3.4, 0.3
    anndata(estimated).write_h5ad(tmp_path / "x.h5ad")
    with open_counts(tmp_path / "x.h5ad", InputOptions(round=True)) as opened:
        chunks = [chunk for _, chunk in opened.chunks(2)]
        assert opened.rounded
    rounded = sparse.vstack(chunks)
    assert rounded.toarray().tolist() == np.rint(estimated).tolist()
    assert rounded.data.all()


def test_whole_counts_are_not_called_rounded(values, tmp_path):
    with open_counts(write(values, tmp_path, "h5ad-csr"), InputOptions(round=True)) as opened:
        list(opened.chunks())
        assert not opened.rounded


def test_memory_is_bounded_by_a_chunk_of_a_dense_file(tmp_path, monkeypatch):
    monkeypatch.setattr("aidocell.counts.matrix._DENSE_BYTES", 100)
    values = counts(50, 7)
    path = write(values, tmp_path, "h5ad-dense")
    sizes = []

    class Watched:
        def __init__(self, array):
            self.array, self.shape, self.dtype = array, array.shape, array.dtype

        def __getitem__(self, part):
            sizes.append(part.stop - part.start)
            return self.array[part]

    with open_counts(path) as opened:
        opened._opened.matrix.array = Watched(opened._opened.matrix.array)
        joined = sparse.vstack([chunk for _, chunk in opened.chunks(20)])
    assert joined.toarray().tolist() == values.tolist()
    assert max(sizes) * 7 * 4 <= 100


def test_symbols_that_are_not_unique_are_kept_as_they_are(values, tmp_path):
    symbols = ["TBCE", "TBCE", *GENES[2:]]
    adata = read_counts(write_10x(values, tmp_path / "x.h5", symbols=symbols))
    assert adata.var_names.tolist() == symbols


def test_the_default_chunk_is_the_one_documented():
    assert source.CHUNK == 4096

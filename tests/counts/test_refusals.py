from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from make_files import (
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

from aidocell.counts import InputOptions, formats, open_counts, probe, read_counts
from aidocell.errors import InputError, MachineError
from aidocell.store import write_store


@pytest.fixture
def values() -> np.ndarray:
    return counts()


@pytest.fixture
def h5ad(values, tmp_path) -> Path:
    return write(values, tmp_path, "h5ad-csr")


def refusal(path: Path, **options: object) -> InputError:
    """The error that reading gives; it names the file and how to fix it."""
    with pytest.raises(InputError) as caught:
        read_counts(path, **options)
    error = caught.value
    assert error.fix
    assert Path(path).name in error.what or "cells" in options
    return error


def saved(path: Path, adata: ad.AnnData) -> Path:
    adata.write_h5ad(path)
    return path


# ---------------------------------------------------------------- missing and format


def test_a_path_that_is_not_there(tmp_path):
    error = refusal(tmp_path / "nothing.h5ad")
    assert error.id == "E_FILE_MISSING"
    assert "does not exist" in error.what


def test_a_link_to_nothing_is_missing(tmp_path):
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "gone.h5ad")
    assert refusal(tmp_path / "link.h5ad").id == "E_FILE_MISSING"


def test_a_list_of_cells_that_is_not_there(h5ad, tmp_path):
    error = refusal(h5ad, cells=tmp_path / "none.txt")
    assert error.id == "E_FILE_MISSING"
    assert "none.txt" in error.what


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"gene,cell1,cell2\nCD3E,1,2\n", "no count matrix"),
        (gzip.compress(b"x" * 50, mtime=0), "gzip-compressed"),
        (b"%%MatrixMarket matrix coordinate integer general\n1 1 0\n", "give the folder"),
        (b"PAR1xxxxxxxx", "Parquet"),
        (b"RDX3\nX\n", "an R file"),
    ],
)
def test_a_file_of_another_kind_is_named(content, says, tmp_path):
    (tmp_path / "x.h5ad").write_bytes(content)
    error = refusal(tmp_path / "x.h5ad")
    assert error.id == "E_FILE_FORMAT"
    assert says in f"{error.what}; {error.fix}"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["mod/rna/X", "obs/a"], "MuData"),
        (["matrix", "row_attrs/Gene", "col_attrs/CellID"], "Loom"),
        (["barcode_info/pass_filter", "molecule_idx"], "molecule_info"),
        (["something"], "it holds something"),
    ],
)
def test_hdf5_of_another_kind_is_named(names, says, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in names:
            file[name] = [1]
    error = refusal(tmp_path / "x.h5")
    assert error.id == "E_FILE_FORMAT"
    assert says in error.what


def test_an_empty_folder(tmp_path):
    error = refusal(tmp_path)
    assert error.id == "E_FILE_FORMAT"
    assert "empty folder" in error.what


def test_a_folder_above_the_matrix_says_which_to_give(values, tmp_path):
    (tmp_path / "outs").mkdir()
    write_mtx(values, tmp_path / "outs" / "filtered_feature_bc_matrix")
    error = refusal(tmp_path / "outs")
    assert error.id == "E_FILE_FORMAT"
    assert error.fix == f"give {tmp_path / 'outs' / 'filtered_feature_bc_matrix'}"


@pytest.mark.parametrize("part", ["barcodes.tsv", "features.tsv"])
def test_a_matrix_folder_with_a_part_missing(part, values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    (folder / part).unlink()
    error = refusal(folder)
    assert error.id == "E_FILE_FORMAT"
    assert part in error.what


def test_a_zip_without_a_store(values, tmp_path):
    error = refusal(pack(write_mtx(values, tmp_path / "m")))
    assert error.id == "E_FILE_FORMAT"
    assert "unpack it" in error.fix


def test_a_zarr_store_that_is_no_anndata(tmp_path):
    import zarr

    zarr.open_group(tmp_path / "x.zarr", mode="w").create_group("images")
    error = refusal(tmp_path / "x.zarr")
    assert error.id == "E_FILE_FORMAT"
    assert "images" in error.what


@pytest.mark.parametrize("header", ["%%MatrixMarket matrix array integer general", "gene cell n"])
def test_a_matrix_market_file_of_another_form(header, values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    text = (folder / "matrix.mtx").read_text().splitlines(keepends=True)
    (folder / "matrix.mtx").write_text("".join([header + "\n", *text[1:]]))
    assert refusal(folder).id == "E_FILE_FORMAT"


def test_an_output_that_holds_no_counts(values, tmp_path):
    path = tmp_path / "embeddings.zarr.zip"
    write_store(anndata(values), path, provenance={"stage": "embed"})
    error = refusal(path)
    assert error.id == "E_FILE_FORMAT"
    assert "embed" in error.what


# ---------------------------------------------------------------- links


def test_an_external_link_is_not_followed(values, h5ad, tmp_path):
    other = write_10x(values, tmp_path / "other.h5")

    def link(file):
        del file["X/data"]
        file["X/data"] = h5py.ExternalLink(str(other), "/matrix/data")

    error = refusal(edit(h5ad, link))
    assert error.id == "E_FILE_LINK"
    assert "X/data" in error.what


def test_an_external_link_anywhere_is_refused(h5ad):
    link = h5py.ExternalLink("/etc/passwd", "/x")
    error = refusal(edit(h5ad, lambda file: file.__setitem__("uns/deep", link)))
    assert error.id == "E_FILE_LINK"
    assert "uns/deep" in error.what


def test_external_storage_is_not_read(h5ad, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(400))

    def outside(file):
        n = file["X/data"].shape[0]
        del file["X/data"]
        storage = [(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file["X"].create_dataset("data", shape=(n,), dtype="f4", external=storage)

    assert refusal(edit(h5ad, outside)).id == "E_FILE_LINK"


def test_a_virtual_data_set_is_not_read(values, h5ad, tmp_path):
    other = write_10x(values, tmp_path / "other.h5")

    def virtual(file):
        n = file["X/data"].shape[0]
        layout = h5py.VirtualLayout(shape=(n,), dtype="i4")
        layout[:] = h5py.VirtualSource(str(other), "matrix/data", shape=(n,))
        del file["X/data"]
        file["X"].create_virtual_dataset("data", layout)

    assert refusal(edit(h5ad, virtual)).id == "E_FILE_LINK"


def test_a_soft_link_inside_the_file_is_fine(values, h5ad):
    def inside(file):
        file.move("X/data", "values")
        file["X/data"] = h5py.SoftLink("/values")

    assert read_counts(edit(h5ad, inside)).X.toarray().tolist() == values.tolist()


def test_groups_in_a_circle_do_not_hang(values, h5ad):
    def circle(file):
        file["uns/again"] = file["/"]

    assert read_counts(edit(h5ad, circle)).X.toarray().tolist() == values.tolist()


def test_a_symbolic_link_out_of_a_zarr_folder(values, tmp_path):
    folder = write_zarr(values, tmp_path, "zarr-v2")
    chunk = folder / "X" / "data" / "0"
    chunk.rename(tmp_path / "outside")
    chunk.symlink_to(tmp_path / "outside")
    error = refusal(folder)
    assert error.id == "E_FILE_LINK"
    assert "X/data/0" in error.what


def test_a_member_that_leads_out_of_a_zip(values, tmp_path):
    packed = write(values, tmp_path, "zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../../evil", b"x")
    assert refusal(packed).id == "E_FILE_LINK"


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("form", ["h5ad-csr", "10x-v3", "zip"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_damaged(form, share, values, tmp_path):
    path = write(values, tmp_path, form)
    path = path.rename(tmp_path / f"sample{path.suffix}")
    os.truncate(path, int(path.stat().st_size * share))
    assert refusal(path).id == "E_FILE_DAMAGED"


def test_anything_named_as_a_store_is_a_damaged_store(values, tmp_path):
    path = write(values, tmp_path, "zip")
    assert path.name.endswith(".zarr.zip")
    os.truncate(path, path.stat().st_size - 9)
    assert refusal(path).id == "E_STORE_DAMAGED"


def test_a_truncated_matrix_market_file_is_damaged(values, tmp_path):
    plain = write_mtx(values, tmp_path / "plain", gz=False) / "matrix.mtx"
    plain.write_text("".join(plain.read_text().splitlines(keepends=True)[:-2]))
    error = refusal(plain.parent)
    assert error.id == "E_FILE_DAMAGED"
    assert "entries" in error.what
    packed = write_mtx(values, tmp_path / "packed") / "matrix.mtx.gz"
    os.truncate(packed, packed.stat().st_size - 9)
    assert refusal(packed.parent).id == "E_FILE_DAMAGED"


def test_a_signature_that_is_nearly_right_is_damage(h5ad):
    content = bytearray(h5ad.read_bytes())
    content[2] ^= 4
    h5ad.write_bytes(content)
    assert refusal(h5ad).id == "E_FILE_DAMAGED"


def test_a_changed_byte_in_compressed_counts_is_damage(values, tmp_path):
    path = tmp_path / "x.h5ad"
    anndata(counts(200, 6)).write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 16
    path.write_bytes(content)
    error = refusal(path)
    assert error.id == "E_FILE_DAMAGED"
    assert "X/data" in error.what


def test_a_broken_column_of_cells_is_named(h5ad):
    def shorten(file):
        codes = file["obs/donor/codes"][:-1]
        replace(file, "obs/donor/codes", codes)

    error = refusal(edit(h5ad, shorten))
    assert error.id == "E_FILE_DAMAGED"
    assert "obs/donor" in error.what


def test_a_missing_column_of_genes_is_named(h5ad):
    def drop(file):
        del file["var/gene_ids"]

    error = refusal(edit(h5ad, drop))
    assert error.id == "E_FILE_DAMAGED"
    assert "var/gene_ids" in error.what


def test_a_missing_chunk_of_counts_is_damage_not_zeros(values, tmp_path):
    folder = write_zarr(values, tmp_path, "zarr-v2")
    (folder / "X" / "data" / "0").unlink()
    error = refusal(folder)
    assert error.id == "E_FILE_DAMAGED"
    assert "X/data" in error.what


def test_a_file_that_crashes_the_library_is_damage(h5ad, monkeypatch):
    crash = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(probe, "_command", lambda located: crash)
    error = refusal(h5ad)
    assert error.id == "E_FILE_DAMAGED"
    assert "crashes" in error.what


def test_a_file_that_hangs_the_library_is_damage(h5ad, monkeypatch):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(probe, "_command", lambda located: sleep)
    monkeypatch.setenv("AIDOCELL_PROBE_SECONDS", "0.2")
    error = refusal(h5ad)
    assert error.id == "E_FILE_DAMAGED"
    assert "AIDOCELL_PROBE_SECONDS" in error.fix


def test_a_torn_or_changed_store_is_a_damaged_store(values, tmp_path):
    path = tmp_path / "counts.zarr.zip"
    write_store(anndata(values), path, provenance={"stage": "align"})
    content = path.read_bytes()
    for place in (0, 30, len(content) // 2, len(content) - 70, len(content) - 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert refusal(path).id == "E_STORE_DAMAGED"
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert refusal(path).id == "E_STORE_DAMAGED"


# ---------------------------------------------------------------- layers and genes


def test_a_missing_layer_lists_those_that_are_there(values, tmp_path):
    adata = anndata(values, layers={"spliced": values, "ambiguous": values})
    adata.raw = anndata(values)
    error = refusal(saved(tmp_path / "x.h5ad", adata), layer="counts")
    assert error.id == "E_LAYER_MISSING"
    assert "(layers: X, ambiguous, spliced, raw)" in error.what


def test_raw_that_is_not_there_is_a_missing_layer(h5ad):
    assert refusal(h5ad, layer="raw").id == "E_LAYER_MISSING"


def test_a_file_without_x_lists_its_layers(h5ad):
    def drop(file):
        file.move("X", "layers/counts")

    error = refusal(edit(h5ad, drop))
    assert error.id == "E_LAYER_MISSING"
    assert "(layers: counts)" in error.what
    assert read_counts(h5ad, layer="counts").shape == (5, 6)


@pytest.mark.parametrize("form", ["10x-v3", "mtx"])
def test_10x_files_have_no_layers(form, values, tmp_path):
    assert refusal(write(values, tmp_path, form), layer="raw").id == "E_LAYER_MISSING"


def test_a_gene_column_that_is_not_there_lists_the_columns(h5ad):
    with pytest.raises(InputError) as caught, open_counts(h5ad, InputOptions(gene_ids="ensg")):
        pass
    assert caught.value.id == "E_GENE_COLUMN"
    assert "(columns: index, gene_ids)" in caught.value.what


# ---------------------------------------------------------------- shape and type


def ragged_indptr(file):
    content = file["X/indptr"][()]
    content[2] = content[3] + 1
    replace(file, "X/indptr", content)


def index_out_of_range(file):
    content = file["X/indices"][()]
    content[-1] = 6
    replace(file, "X/indices", content)


def negative_index(file):
    content = file["X/indices"][()]
    content[0] = -1
    replace(file, "X/indices", content)


def gene_twice_in_a_cell(file):
    content = file["X/indices"][()]
    content[1] = content[0]
    replace(file, "X/indices", content)


def short_data(file):
    for name in ("data", "indices"):
        replace(file, f"X/{name}", file[f"X/{name}"][:-1])


def data_unlike_indices(file):
    replace(file, "X/data", file["X/data"][:-1])


def short_indptr(file):
    replace(file, "X/indptr", file["X/indptr"][:-1])


def indptr_from_one(file):
    content = file["X/indptr"][()]
    content[0] = 1
    replace(file, "X/indptr", content)


RAGGED = [
    ragged_indptr,
    index_out_of_range,
    negative_index,
    gene_twice_in_a_cell,
    short_data,
    data_unlike_indices,
    short_indptr,
    indptr_from_one,
]


@pytest.mark.parametrize("fault", RAGGED)
def test_a_ragged_sparse_matrix(fault, h5ad):
    error = refusal(edit(h5ad, fault))
    assert error.id == "E_MATRIX_SHAPE"
    assert "ragged" in error.what


@pytest.mark.parametrize("fault", [ragged_indptr, index_out_of_range, gene_twice_in_a_cell])
def test_a_ragged_matrix_that_is_stored_by_gene(fault, values, tmp_path):
    assert refusal(edit(write(values, tmp_path, "h5ad-csc"), fault)).id == "E_MATRIX_SHAPE"


@pytest.mark.parametrize("form", ["h5ad-csr", "h5ad-csc", "h5ad-dense"])
def test_tables_that_do_not_fit_the_matrix(form, values, tmp_path):
    path = write(values, tmp_path, form)
    other = write(counts(4), tmp_path, "10x-v3")  # any file: room for the smaller table
    with h5py.File(path, "r+") as file:
        del file["obs"]
        anndata(counts(4)).write_h5ad(other)
        with h5py.File(other) as smaller:
            smaller.copy("obs", file)
    error = refusal(path)
    assert error.id == "E_MATRIX_SHAPE"
    assert "5 cells × 6 genes" in error.what
    assert "4 cells" in error.what


def test_a_matrix_folder_whose_files_do_not_fit(values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    (folder / "barcodes.tsv").write_text("A\nB\n")
    error = refusal(folder)
    assert error.id == "E_MATRIX_SHAPE"
    assert "2 barcodes" in error.what


def test_a_transposed_matrix_folder_is_said_to_be(values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    other = write_mtx(values.T, tmp_path / "other", gz=False)
    shutil.copy(other / "matrix.mtx", folder / "matrix.mtx")
    error = refusal(folder)
    assert error.id == "E_MATRIX_SHAPE"
    assert "transposed" in error.what


def test_a_matrix_market_entry_out_of_range(values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    lines[-1] = "7 1 1"
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    assert refusal(folder).id == "E_MATRIX_SHAPE"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.ones((5, 6), dtype=bool), "truth values"),
        (np.ones((5, 6), dtype=complex), "complex"),
        (np.full((5, 6), b"7", dtype="S1"), "text"),
        (np.full((5, 6), "7", dtype=object), "text"),
    ],
)
def test_a_matrix_that_holds_no_numbers(content, says, values, tmp_path):
    path = write(values, tmp_path, "h5ad-dense")
    error = refusal(edit(path, lambda file: replace(file, "X", content)))
    assert error.id == "E_MATRIX_TYPE"
    assert says in error.what


def test_a_pattern_matrix_market_file_holds_no_numbers(values, tmp_path):
    folder = write_mtx(values, tmp_path / "m", gz=False)
    text = (folder / "matrix.mtx").read_text().replace(" integer ", " pattern ")
    (folder / "matrix.mtx").write_text(text)
    assert refusal(folder).id == "E_MATRIX_TYPE"


# ---------------------------------------------------------------- features, cells, names


def test_a_file_of_antibodies_alone(values, tmp_path):
    path = write_10x(values, tmp_path / "x.h5", types=["Antibody Capture"] * 6)
    error = refusal(path)
    assert error.id == "E_FEATURES"
    assert "6 Antibody Capture" in error.what


@pytest.mark.parametrize(("shape", "id"), [((0, 6), "E_NO_CELLS"), ((5, 0), "E_NO_GENES")])
def test_a_matrix_with_nothing_in_it(shape, id, tmp_path):
    assert refusal(saved(tmp_path / "x.h5ad", anndata(np.zeros(shape)))).id == id


def test_no_listed_cell_is_there(h5ad, tmp_path):
    (tmp_path / "cells.txt").write_text("AAA\nCCC\n")
    error = refusal(h5ad, cells=tmp_path / "cells.txt")
    assert error.id == "E_NO_CELLS"
    assert "AAA, CCC" in error.what
    assert barcodes(1)[0] in error.what


def test_names_of_cells_that_are_not_unique(h5ad):
    names = np.array(["A", "B", "B", "C", "B"], dtype=object)
    error = refusal(edit(h5ad, lambda file: replace(file, "obs/_index", names)))
    assert error.id == "E_CELL_NAMES"
    assert "(B)" in error.what


def test_names_of_cells_that_are_empty(h5ad):
    names = np.array(["A", "B", "C", "", "D"], dtype=object)
    error = refusal(edit(h5ad, lambda file: replace(file, "obs/_index", names)))
    assert error.id == "E_CELL_NAMES"
    assert "cell 4" in error.what


# ---------------------------------------------------------------- values


def with_value(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.astype(float)
    changed[3, 2] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_a_value_that_is_not_finite_is_found(value, kind, values, tmp_path):
    error = refusal(saved(tmp_path / "x.h5ad", anndata(with_value(values, value), kind=kind)))
    assert error.id == "E_NOT_FINITE"
    assert f"cell '{barcodes(5)[3]}', gene 'NKG7'" in error.what


def test_a_value_below_zero_is_found(values, tmp_path):
    error = refusal(saved(tmp_path / "x.h5ad", anndata(with_value(values, -2))))
    assert error.id == "E_NEGATIVE"
    assert f"-2 in cell '{barcodes(5)[3]}', gene 'NKG7'" in error.what
    assert "scaled" not in error.what


def test_scaled_values_are_said_to_look_scaled(values, tmp_path):
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    error = refusal(saved(tmp_path / "x.h5ad", anndata(scaled, kind="dense")))
    assert error.id == "E_NEGATIVE"
    assert "looks scaled" in error.what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4), "log1p-normalised"),
        (lambda x: x / x.sum(axis=1, keepdims=True) * 1e4, "size-factor-normalised"),
        (lambda x: x * (x > 1) * 0.9 + x * (x == 1), "estimated"),
    ],
)
def test_fractions_are_said_to_be_what_they_look_like(change, says, tmp_path):
    values = change(counts(30, 12).astype(float))
    path = saved(tmp_path / "x.h5ad", anndata(values))
    error = refusal(path)
    assert error.id == "E_NOT_COUNTS"
    assert says in error.what
    assert ("--round" in error.fix) == (says == "estimated")
    if says != "estimated":
        assert refusal(path, round=True).id == "E_NOT_COUNTS"


@pytest.mark.parametrize("name", ["counts", "raw"])
def test_a_layer_that_does_hold_counts_is_named(name, values, tmp_path):
    adata = anndata(np.log1p(values))
    adata.layers["half"] = np.log1p(values)
    if name == "raw":
        adata.raw = anndata(values)
    else:
        adata.layers["counts"] = values
    error = refusal(saved(tmp_path / "x.h5ad", adata))
    assert error.id == "E_NOT_COUNTS"
    assert error.fix == f"give --layer {name}, which holds counts"


def test_leaving_out_the_layer_is_advised_where_x_holds_counts(values, tmp_path):
    adata = anndata(values, layers={"log": np.log1p(values)})
    error = refusal(saved(tmp_path / "x.h5ad", adata), layer="log")
    assert error.fix == "leave out --layer: X holds counts"


def droplets(n_full: int, *, n_cells: int = 20_001) -> ad.AnnData:
    values = sparse.lil_matrix((n_cells, 2))
    values[:, 0] = 1
    values[:n_full, 0] = 50
    return ad.AnnData(
        values.tocsr().astype(np.float32),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=["CD3E", "NKG7"]),
    )


def test_droplets_before_cell_calling(tmp_path):
    error = refusal(saved(tmp_path / "x.h5ad", droplets(4_000)))
    assert error.id == "E_UNFILTERED"
    assert "20,001 barcodes, 16,001 of them with fewer than 50 counts" in error.what
    assert "--cells" in error.fix


def test_droplets_are_accepted_with_a_list_of_cells(tmp_path):
    path = saved(tmp_path / "x.h5ad", droplets(4_000))
    (tmp_path / "cells.txt").write_text("\n".join(f"c{i}" for i in range(100)))
    assert read_counts(path, cells=tmp_path / "cells.txt").n_obs == 100


@pytest.mark.parametrize("adata", [droplets(4_001), droplets(0, n_cells=20_000)])
def test_many_cells_or_shallow_ones_alone_are_no_droplets(adata, tmp_path):
    assert read_counts(saved(tmp_path / "x.h5ad", adata)).n_obs == adata.n_obs


# ---------------------------------------------------------------- which fault comes first


def test_the_first_fault_in_the_order_wins_wherever_it_is(tmp_path):
    values = counts(30, 6).astype(float)
    values[0, 0] = 0.5
    values[10, 0] = -1
    values[20, 0] = np.nan
    path = saved(tmp_path / "x.h5ad", anndata(values))
    for id, cell in (("E_NOT_FINITE", 20), ("E_NEGATIVE", 10), ("E_NOT_COUNTS", 0)):
        with pytest.raises(InputError) as caught, open_counts(path) as opened:
            list(opened.chunks(3))
        assert caught.value.id == id
        assert barcodes(30)[cell] in caught.value.what
        values[cell, 0] = 1
        saved(path, anndata(values))


def test_a_ragged_matrix_comes_before_what_its_tables_lack(values, tmp_path):
    path = write_10x(values, tmp_path / "x.h5", types=["Antibody Capture"] * 6)

    def index_out_of_range(file):
        content = file["matrix/indices"][()]
        content[-1] = 6
        replace(file, "matrix/indices", content)

    assert refusal(edit(path, index_out_of_range)).id == "E_MATRIX_SHAPE"


def test_shape_comes_before_type_and_type_before_names(values, h5ad):
    def texts(file):
        replace(file, "X/data", np.full(file["X/data"].shape, b"7", dtype="S1"))

    def same_names(file):
        replace(file, "obs/_index", np.array(["A"] * 5, dtype=object))

    edit(edit(h5ad, same_names), texts)
    assert refusal(h5ad).id == "E_MATRIX_TYPE"
    assert refusal(edit(h5ad, index_out_of_range)).id == "E_MATRIX_SHAPE"


def test_links_come_before_missing_layers_and_damage(h5ad):
    def link_and_damage(file):
        file["uns/link"] = h5py.ExternalLink("x.h5", "/x")
        del file["var/gene_ids"]

    assert refusal(edit(h5ad, link_and_damage), layer="none").id == "E_FILE_LINK"


def test_no_space_for_rows_on_the_disk_is_the_machines_fault(values, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MachineError) as caught:
        read_counts(write(values, tmp_path, "mtx"))
    assert caught.value.id == "E_DISK_FULL"
    assert tempfile.gettempdir() in caught.value.what


@pytest.mark.parametrize("given", ["abc", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_named(values, tmp_path, monkeypatch, given):
    monkeypatch.setenv("AIDOCELL_PROBE_SECONDS", given)
    with pytest.raises(InputError, match=f"E_USAGE.*AIDOCELL_PROBE_SECONDS is '{given}'"):
        read_counts(write(values, tmp_path, "h5ad-csr"))


def test_a_disk_that_fails_on_the_first_bytes_is_not_the_file_s_fault(
    values, tmp_path, monkeypatch
):
    path = write(values, tmp_path, "h5ad-csr")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(formats, "_is_hdf5", fail)
    with pytest.raises(MachineError, match=r"E_DISK_FAILED.*Input/output error"):
        read_counts(path)


def test_embeddings_given_as_counts_are_named(tmp_path):
    cells = ad.AnnData(obs=pd.DataFrame(index=["c"]), obsm={"X_aidocell": np.ones((1, 2), "f4")})
    write_store(cells, tmp_path / "e.zarr.zip", provenance={"stage": "embed"})
    with pytest.raises(InputError, match=r"E_FILE_FORMAT.*output of 'embed'.*counts\.zarr\.zip"):
        read_counts(tmp_path / "e.zarr.zip")


def test_a_folder_as_list_of_cells_is_no_file(values, tmp_path):
    with pytest.raises(InputError, match=r"E_FILE_MISSING.*is no file"):
        read_counts(write(values, tmp_path, "h5ad-csr"), cells=tmp_path)

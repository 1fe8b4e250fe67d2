"""Files that are missing or of another kind."""

from __future__ import annotations

import gzip
import json
import os
import socket
import zipfile
from pathlib import Path

import h5py
from cases import bad
from make_files import anndata, counts, pack, write, write_mtx, write_zarr

VALUES = counts(12)
PICKLE = {"id": "pickle", "protocol": 4}


def plain_mtx(folder: Path) -> Path:
    return write_mtx(VALUES, folder / "mtx", gz=False)


# ---------------------------------------------------------------- missing


@bad("E_FILE_MISSING", "does not exist", "nothing.h5ad")
def no_such_file(folder):
    return folder / "nothing.h5ad"


@bad("E_FILE_MISSING", "gone.h5ad")
def link_to_nothing(folder):
    (folder / "gone.h5ad").symlink_to(folder / "nowhere")
    return folder / "gone.h5ad"


@bad("E_FILE_MISSING", "round.h5ad")
def links_in_a_circle(folder):
    (folder / "round.h5ad").symlink_to(folder / "trip.h5ad")
    (folder / "trip.h5ad").symlink_to(folder / "round.h5ad")
    return folder / "round.h5ad"


@bad("E_FILE_MISSING", "does not exist")
def name_longer_than_a_file_system_allows(folder):
    return folder / ("x" * 300 + ".h5ad")


@bad("E_FILE_MISSING", r"a\nb")
def name_with_a_newline(folder):
    return folder / "a\nb\u202e.h5ad"


@bad("E_FILE_MISSING", r"\udcff")
def name_that_is_not_utf8(folder):
    return os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.h5ad")


@bad("E_FILE_MISSING", "--cells", "none.txt")
def list_of_cells_that_is_not_there(folder):
    return [write(VALUES, folder, "h5ad-csr"), "--cells", folder / "none.txt"]


@bad("E_FILE_MISSING", "is no file")
def list_of_cells_that_is_a_pipe(folder):
    os.mkfifo(folder / "cells.txt")
    return [write(VALUES, folder, "h5ad-csr"), "--cells", folder / "cells.txt"]


# ---------------------------------------------------------------- other formats

_CONTENTS = {
    "an empty file": ("x.h5ad", b"", "is empty"),
    "a table of counts as CSV": ("counts.csv", b"gene,A,B\nCD3E,1,2\n", "no count matrix"),
    "a gzipped table": ("counts.tsv.gz", gzip.compress(b"gene\tA\n", mtime=0), "unpack it first"),
    "an R object": ("seurat.rds", b"RDX3\nX\n", "R file"),
    "a gzipped R object": ("seurat.rds", gzip.compress(b"X\n\0\0\0\3", mtime=0), "R object"),
    "an image": ("plot.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "no count matrix"),
    "a Parquet table": ("cells.parquet", b"PAR1" + bytes(40), "Parquet"),
    "a lone Matrix Market file": ("matrix.mtx", b"%%MatrixMarket matrix\n", "give the folder"),
    "a lone gzipped matrix": (
        "matrix.mtx.gz",
        gzip.compress(b"%%MatrixMarket", mtime=0),
        "give the folder",
    ),
    "a bzip2 archive": ("x.h5ad.bz2", b"BZh91AY&SY" + bytes(40), "bzip2"),
    "a tar archive": ("matrix.tar", bytes(257) + b"ustar\x0000" + bytes(300), "tar archive"),
    "a pickle": ("adata.pkl", b"\x80\x04\x95" + bytes(40), "pickle"),
    "a web page saved as a file": ("x.h5ad", b"<!DOCTYPE html><html>", "web page"),
    "a pointer of Git LFS": ("x.h5ad", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
}
for _name, (_file, _content, _says) in _CONTENTS.items():

    @bad("E_FILE_FORMAT", _file, _says, name=_name)
    def _made(folder, file=_file, content=_content):
        (folder / file).write_bytes(content)
        return folder / file


@bad("E_FILE_FORMAT", "spreadsheet")
def an_excel_sheet(folder):
    with zipfile.ZipFile(folder / "counts.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return folder / "counts.xlsx"


_HDF5 = {
    "a MuData file": (["mod/rna/X", "obs/_index", "var/_index"], "MuData"),
    "a Loom file of velocyto": (["matrix", "layers/spliced", "row_attrs/G", "col_attrs/C"], "Loom"),
    "molecules of Cell Ranger": (["barcode_info/pass_filter", "molecule_idx"], "molecule_info"),
    "an h5Seurat file": (["assays/RNA/counts", "cell.names", "meta.data/x"], "Seurat"),
    "another HDF5 file": (["something"], "it holds something"),
}
for _name, (_parts, _says) in _HDF5.items():

    @bad("E_FILE_FORMAT", _says, name=_name)
    def _made(folder, parts=_parts):
        with h5py.File(folder / "x.h5", "w") as file:
            for part in parts:
                file[part] = [1]
        return folder / "x.h5"


@bad("E_FILE_FORMAT", "empty folder")
def empty_folder(folder):
    (folder / "sample").mkdir()
    return folder / "sample"


@bad("E_FILE_FORMAT", "filtered_feature_bc_matrix", "give ")
def folder_above_the_matrix(folder):
    (folder / "outs").mkdir()
    write_mtx(VALUES, folder / "outs" / "filtered_feature_bc_matrix")
    return folder / "outs"


for _part in ("barcodes.tsv", "features.tsv"):

    @bad("E_FILE_FORMAT", _part, name=f"matrix folder without {_part}")
    def _made(folder, part=_part):
        (plain_mtx(folder) / part).unlink()
        return folder / "mtx"


@bad("E_FILE_FORMAT", "unpack it")
def zipped_matrix_folder(folder):
    return pack(plain_mtx(folder))


@bad("E_FILE_FORMAT", "neither a file nor a folder")
def a_pipe(folder):
    os.mkfifo(folder / "x.h5ad")
    return folder / "x.h5ad"


@bad("E_FILE_FORMAT", "/dev/zero", "neither a file nor a folder")
def a_device(folder):
    return "/dev/zero"


@bad("E_FILE_FORMAT", "neither a file nor a folder")
def a_socket(folder):
    place = Path.cwd()
    os.chdir(folder)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.h5ad")
    os.chdir(place)
    return folder / "x.h5ad"


@bad("E_FILE_FORMAT", "neither a file nor a folder", "X/data/0")
def a_pipe_among_chunks(folder):
    store = write_zarr(VALUES, folder, "zarr-v2")
    (store / "X" / "data" / "0").unlink()
    os.mkfifo(store / "X" / "data" / "0")
    return store


@bad("E_FILE_FORMAT", "images")
def zarr_that_is_no_anndata(folder):
    import zarr

    zarr.open_group(folder / "x.zarr", mode="w").create_group("images")
    return folder / "x.zarr"


@bad("E_FILE_FORMAT", "special", "not installed", "gzip")
def compressed_with_a_filter_that_is_not_there(folder):
    anndata(VALUES).write_h5ad(folder / "x.h5ad", compression="gzip")
    deflate = b"\1\0\x08\0\1\0\1\0deflate"
    content = (folder / "x.h5ad").read_bytes()
    assert deflate in content
    content = content.replace(deflate, b"\x64\x7d\x08\0\1\0\1\0special")
    (folder / "x.h5ad").write_bytes(content)
    return folder / "x.h5ad"


@bad("E_FILE_FORMAT", "pickle")
def zarr_packed_with_pickle(folder):
    store = write_zarr(VALUES, folder, "zarr-v2")
    home = store / "obs" / "_index" / ".zarray"
    home.write_text(
        json.dumps({**json.loads(home.read_text()), "filters": [{"id": "vlen-utf8"}, PICKLE]})
    )
    (store / ".zmetadata").unlink(missing_ok=True)
    return store

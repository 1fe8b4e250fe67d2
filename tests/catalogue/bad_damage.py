"""Files that are damaged, lead elsewhere, or ask for more than there is."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile

import h5py
from bad_files import VALUES, plain_mtx
from cases import bad
from make_files import edit, replace, write, write_mtx, write_zarr

# ---------------------------------------------------------------- damage


for _form in ("h5ad-csr", "h5ad-dense", "10x-v3", "10x-v2"):

    @bad("E_FILE_DAMAGED", _form, "copy", name=f"truncated {_form}")
    def _made(folder, form=_form):
        path = write(VALUES, folder, form)
        os.truncate(path, path.stat().st_size * 2 // 3)
        return path


@bad("E_FILE_DAMAGED", "matrix.mtx.gz")
def truncated_gzip(folder):
    path = write_mtx(VALUES, folder / "mtx") / "matrix.mtx.gz"
    os.truncate(path, path.stat().st_size - 9)
    return path.parent


@bad("E_FILE_DAMAGED", "barcodes.tsv.gz")
def gzip_with_a_flipped_bit(folder):
    path = write_mtx(VALUES, folder / "mtx") / "barcodes.tsv.gz"
    content = bytearray(path.read_bytes())
    content[len(content) - 6] ^= 1
    path.write_bytes(content)
    return path.parent


for _entries in (5, 500, 10**12):

    @bad("E_FILE_DAMAGED", "matrix.mtx", "entries", name=f"header of {_entries:,} entries")
    def _made(folder, entries=_entries):
        path = plain_mtx(folder) / "matrix.mtx"
        lines = path.read_text().splitlines()
        lines[2] = f"6 12 {entries}"
        path.write_text("\n".join(lines))
        return path.parent


@bad("E_FILE_DAMAGED", "matrix.mtx")
def words_among_the_entries(folder):
    path = plain_mtx(folder) / "matrix.mtx"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], "1 two 3"]))
    return path.parent


@bad("E_FILE_DAMAGED", "features.tsv")
def genes_that_are_no_text(folder):
    (plain_mtx(folder) / "features.tsv").write_bytes(b"\xff\xfe\x00" * 9)
    return folder / "mtx"


@bad("E_FILE_DAMAGED", "obs/donor")
def column_of_cells_that_is_too_short(folder):
    path = write(VALUES, folder, "h5ad-csr")
    return edit(path, lambda f: replace(f, "obs/donor/codes", f["obs/donor/codes"][:-1]))


@bad("E_FILE_DAMAGED", "var/gene_ids")
def column_of_genes_that_is_gone(folder):
    return edit(write(VALUES, folder, "h5ad-csr"), lambda f: f.__delitem__("var/gene_ids"))


@bad("E_FILE_DAMAGED", "X/data")
def chunk_that_is_gone(folder):
    store = write_zarr(VALUES, folder, "zarr-v2")
    (store / "X" / "data" / "0").unlink()
    return store


@bad("E_FILE_DAMAGED", "X/data", "never written")
def counts_that_were_never_written(folder):
    def declare(file):
        del file["X/data"], file["X/indices"]
        for name, kind in (("data", "f4"), ("indices", "i4")):
            file["X"].create_dataset(name, shape=(10**12,), dtype=kind, chunks=(1000,))

    return edit(write(VALUES, folder, "h5ad-csr"), declare)


@bad("E_FILE_DAMAGED", "obs/_index", "GiB")
def zarr_of_a_million_million_cells(folder):
    store = write_zarr(VALUES, folder, "zarr-v3")
    home = store / "obs" / "_index" / "zarr.json"
    home.write_text(json.dumps({**json.loads(home.read_text()), "shape": [10**12]}))
    meta = json.loads((store / "zarr.json").read_text())
    meta.pop("consolidated_metadata", None)
    (store / "zarr.json").write_text(json.dumps(meta))
    return store


@bad("E_FILE_DAMAGED", "its metadata")
def metadata_of_endless_depth(folder):
    store = write_zarr(VALUES, folder, "zarr-v3")
    (store / "X" / "zarr.json").write_text("[" * 100_000)
    return store


@bad("E_FILE_DAMAGED", "checksum")
def zip_with_a_flipped_bit(folder):
    path = write(VALUES, folder, "zip").rename(folder / "sample.zip")
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 60 + largest.file_size // 2] ^= 1
    path.write_bytes(content)
    return path


def bomb() -> bytes:
    """A little gzip that unpacks to 160 MiB, more than a table of names may have of 1 GiB."""
    return gzip.compress(bytes(16 << 20), mtime=0) * 10


@bad("E_FILE_DAMAGED", "barcodes.tsv.gz", "GiB", "AIDOCELL_PROBE_GIB")
def barcodes_that_unpack_to_more_than_memory(folder):
    path = write_mtx(VALUES, folder / "mtx")
    (path / "barcodes.tsv.gz").write_bytes(bomb())
    return path


# ---------------------------------------------------------------- links


@bad("E_FILE_LINK", "uns/deep", "not followed")
def external_link(folder):
    link = h5py.ExternalLink("/etc/passwd", "/x")
    return edit(write(VALUES, folder, "h5ad-csr"), lambda f: f.__setitem__("uns/deep", link))


@bad("E_FILE_LINK", "X/data")
def external_storage(folder):
    (folder / "secret.bin").write_bytes(bytes(400))

    def outside(file):
        del file["X/data"]
        storage = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file["X"].create_dataset("data", shape=(VALUES.size,), dtype="f4", external=storage)

    return edit(write(VALUES, folder, "h5ad-csr"), outside)


@bad("E_FILE_LINK", "X/data", "virtual")
def virtual_data_set(folder):
    def virtual(file):
        layout = h5py.VirtualLayout(shape=(VALUES.size,), dtype="f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(VALUES.size,))
        del file["X/data"]
        file["X"].create_virtual_dataset("data", layout)

    return edit(write(VALUES, folder, "h5ad-csr"), virtual)


for _target in ("/etc", "../secret", "loop"):

    @bad("E_FILE_LINK", "symbolic link", name=f"symbolic link in a store to {_target}")
    def _made(folder, target=_target):
        store = write_zarr(VALUES, folder, "zarr-v2")
        shutil.rmtree(store / "uns")
        (store / "uns").symlink_to(target if target != "loop" else "../loop")
        (folder / "loop").symlink_to("loop")
        return store


@bad("E_FILE_LINK", "leads out of it", "evil")
def zip_with_a_member_outside(folder):
    path = write(VALUES, folder, "zip").rename(folder / "sample.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil", b"x")
    return path

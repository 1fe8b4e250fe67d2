"""Count files of every format, good and broken, for tests."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import write_elem
from scipy import io, sparse

GENES = ("CD3E", "MS4A1", "NKG7", "MT-CO1", "RPL3", "HBB")
IDS = (
    "ENSG00000198851",
    "ENSG00000156738",
    "ENSG00000105374",
    "ENSG00000198804",
    "ENSG00000100316",
    "ENSG00000244734",
)
FORMATS = (
    "h5ad-csr",
    "h5ad-csc",
    "h5ad-dense",
    "10x-v3",
    "10x-v2",
    "mtx",
    "zarr-v2",
    "zarr-v3",
    "zip",
)


def counts(n_cells: int = 5, n_genes: int = len(GENES), *, seed: int = 0) -> np.ndarray:
    """Small counts, every cell with at least one."""
    values = np.random.default_rng(seed).poisson(2, size=(n_cells, n_genes))
    values[:, 0] += 1
    return values


def barcodes(n_cells: int) -> list[str]:
    """Distinct barcodes, as 10x writes them."""
    letters = "ACGT"
    return [
        "".join(letters[(cell >> (2 * place)) & 3] for place in range(12)) + "-1"
        for cell in range(n_cells)
    ]


def gene_names(n_genes: int) -> tuple[list[str], list[str]]:
    """Symbols and ids; real ones first."""
    more = range(len(GENES), n_genes)
    symbols = [*GENES[:n_genes], *(f"GENE{i}" for i in more)]
    return symbols, [*IDS[:n_genes], *(f"ENSG{i:011d}" for i in more)]


def anndata(values: np.ndarray, *, kind: str = "csr", **more: object) -> ad.AnnData:
    """A table of counts; `kind` is how X is stored, `more` goes to AnnData."""
    stored = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[kind](
        np.asarray(values, dtype=np.float32)
    )
    symbols, ids = gene_names(values.shape[1])
    obs = pd.DataFrame(
        {"donor": pd.Categorical(["d1" if i % 2 else "d2" for i in range(len(values))])},
        index=barcodes(len(values)),
    )
    return ad.AnnData(stored, obs=obs, var=pd.DataFrame({"gene_ids": ids}, index=symbols), **more)


def write(values: np.ndarray, folder: Path, form: str) -> Path:
    """Write counts in one of :data:`FORMATS`; returns what to give as INPUT."""
    if form.startswith("h5ad"):
        path = folder / f"{form}.h5ad"
        anndata(values, kind=form.split("-")[1]).write_h5ad(path)
        return path
    if form.startswith("10x"):
        return write_10x(values, folder / f"{form}.h5", version=int(form[-1]))
    if form == "mtx":
        return write_mtx(values, folder / "mtx")
    return write_zarr(values, folder, form)


def write_zarr(values: np.ndarray, folder: Path, form: str) -> Path:
    """An AnnData as Zarr folder of version 2 or 3, or as a zip of one."""
    version = 2 if form == "zarr-v2" else 3
    path = folder / f"{form}.zarr"
    with ad.settings.override(zarr_write_format=version, auto_shard_zarr_v3=False):
        write_elem(zarr.open_group(path, mode="w", zarr_format=version), "/", anndata(values))
    return pack(path) if form == "zip" else path


def pack(folder: Path, *, inside: str = "") -> Path:
    """Zip a folder; `inside` is a folder in the zip to put it under."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for part in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(part, f"{inside}{part.relative_to(folder).as_posix()}")
    return path


def write_10x(
    values: np.ndarray,
    path: Path,
    *,
    version: int = 3,
    types: Sequence[str] | None = None,
    genomes: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Path:
    """A 10x HDF5 file: group ``matrix`` (version 3) or a group named after the genome (2)."""
    n_cells, n_genes = values.shape
    by_cell = sparse.csr_matrix(values)
    own_symbols, own_ids = gene_names(n_genes)
    symbols, ids = symbols or own_symbols, ids or own_ids
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        group["barcodes"] = np.array(barcodes(n_cells), dtype="S18")
        group["data"] = by_cell.data.astype(np.int32)
        group["indices"] = by_cell.indices.astype(np.int64)
        group["indptr"] = by_cell.indptr.astype(np.int64)
        group["shape"] = np.array([n_genes, n_cells], dtype=np.int32)
        if version == 2:
            group["genes"], group["gene_names"] = np.array(ids, "S"), np.array(symbols, "S")
            return path
        features = group.create_group("features")
        features["id"], features["name"] = np.array(ids, "S"), np.array(symbols, "S")
        features["feature_type"] = np.array(types or ["Gene Expression"] * n_genes, "S")
        features["genome"] = np.array(genomes or ["GRCh38"] * n_genes, "S")
        features["_all_tag_keys"] = np.array([b"genome"])
    return path


def write_mtx(
    values: np.ndarray,
    folder: Path,
    *,
    gz: bool = True,
    columns: int = 3,
    types: Sequence[str] | None = None,
    shuffle: bool = False,
) -> Path:
    """A 10x matrix folder; `columns` is how many the table of features has."""
    folder.mkdir()
    n_cells, n_genes = values.shape
    symbols, ids = gene_names(n_genes)
    entries = sparse.coo_matrix(sparse.csc_matrix(np.asarray(values).T))
    if shuffle:
        order = np.random.default_rng(1).permutation(entries.nnz)
        entries = sparse.coo_matrix(
            (entries.data[order], (entries.row[order], entries.col[order])), shape=entries.shape
        )
    io.mmwrite(folder / "matrix.mtx", entries, symmetry="general")
    table = [ids, symbols, types or ["Gene Expression"] * n_genes][:columns]
    lines = "".join("\t".join(row) + "\n" for row in zip(*table, strict=True))
    (folder / ("features.tsv" if columns == 3 else "genes.tsv")).write_text(lines)
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in barcodes(n_cells)))
    for part in list(folder.iterdir()) if gz else []:
        with gzip.open(f"{part}.gz", "wb") as target, part.open("rb") as source:
            shutil.copyfileobj(source, target)
        part.unlink()
    return folder


def edit(path: Path, change) -> Path:
    """Change an HDF5 file: `change` gets it opened for writing."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(file: h5py.File, name: str, values: object) -> None:
    """Put other values in place of a data set, keeping its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)

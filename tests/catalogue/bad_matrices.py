"""Matrices that do not fit, hold something else than counts, or counts of something else."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from cases import bad
from make_files import (
    anndata,
    barcodes,
    counts,
    edit,
    replace,
    write,
    write_10x,
    write_mtx,
)
from scipy import sparse

VALUES = counts(12)
MANY = counts(40, 6).astype(float)


def saved(folder, adata):
    adata.write_h5ad(folder / "sample.h5ad")
    return folder / "sample.h5ad"


# ---------------------------------------------------------------- layers and columns


@bad("E_LAYER_MISSING", "'counts'", "X, ambiguous, spliced", "--layer")
def layer_that_is_not_there(folder):
    layers = {"spliced": VALUES, "ambiguous": VALUES}
    return [saved(folder, anndata(VALUES, layers=layers)), "--layer", "counts"]


@bad("E_LAYER_MISSING", "'raw'")
def raw_that_is_not_there(folder):
    return [write(VALUES, folder, "h5ad-csr"), "--layer", "raw"]


@bad("E_LAYER_MISSING", "'X'", "layers: counts")
def file_without_x(folder):
    return edit(write(VALUES, folder, "h5ad-csr"), lambda f: f.move("X", "layers/counts"))


@bad("E_LAYER_MISSING", "'spliced'")
def layer_of_a_matrix_folder(folder):
    return [write(VALUES, folder, "mtx"), "--layer", "spliced"]


@bad("E_GENE_COLUMN", "'ensg'", "index, gene_ids", "--gene-ids")
def gene_column_that_is_not_there(folder):
    return [write(VALUES, folder, "h5ad-csr"), "--gene-ids", "ensg"]


# ---------------------------------------------------------------- shape


def _index(at: int, value: int):
    def change(file):
        content = file["X/indices"][()]
        content[at] = content[at + 1] if value == "next" else value
        replace(file, "X/indices", content)

    return change


def _pointer(change):
    def fault(file):
        content = file["X/indptr"][()]
        replace(file, "X/indptr", change(content))

    return fault


def _with(array: np.ndarray, at: int, value: int) -> np.ndarray:
    array[at] = value
    return array


def _shorten(*names):
    def change(file):
        for name in names:
            replace(file, f"X/{name}", file[f"X/{name}"][:-1])

    return change


_RAGGED = {
    "index beyond the genes": _index(-1, 6),
    "index below zero": _index(0, -1),
    "gene twice in a cell": _index(0, "next"),
    "pointer that goes down": _pointer(lambda p: _with(p, 2, p[3] + 1)),
    "pointer that begins at one": _pointer(lambda p: _with(p, 0, 1)),
    "pointer beyond the values": _pointer(lambda p: _with(p, -1, p[-1] + 4)),
    "pointer too short": _pointer(lambda p: p[:-1]),
    "pointer too long": _pointer(lambda p: np.append(p, p[-1])),
    "pointer of fractions": _pointer(lambda p: p + 0.5),
    "pointer of two dimensions": _pointer(lambda p: p[None]),
    "all values in one cell": _pointer(lambda p: _with(p * 0, -1, p[-1])),
    "fewer values than indices": _shorten("data"),
    "fewer indices than values": _shorten("indices"),
    "fewer of both than the pointer says": _shorten("data", "indices"),
    "indices of fractions": lambda f: replace(f, "X/indices", f["X/indices"][()] + 0.5),
}
for _form in ("csr", "csc"):
    for _name, _fault in _RAGGED.items():
        if (_form, _name) != ("csc", "index beyond the genes"):

            @bad("E_MATRIX_SHAPE", "ragged", "export", name=f"{_form}: {_name}")
            def _made(folder, form=_form, fault=_fault):
                return edit(write(VALUES, folder, f"h5ad-{form}"), fault)


for _axis, _values in (("cells", counts(4)), ("genes", counts(12, 5))):

    @bad("E_MATRIX_SHAPE", "12 cells × 6 genes", name=f"tables of other {_axis} than the matrix")
    def _made(folder, axis=_axis, values=_values):
        table = "obs" if axis == "cells" else "var"
        anndata(values).write_h5ad(folder / "other.h5ad")
        path = write(VALUES, folder, "h5ad-csr")

        def swap(file):
            del file[table]
            edit(folder / "other.h5ad", lambda other: other.copy(table, file))

        return edit(path, swap)


@bad("E_MATRIX_SHAPE", "2 barcodes")
def matrix_folder_of_two_exports(folder):
    path = write_mtx(VALUES, folder / "mtx", gz=False)
    (path / "barcodes.tsv").write_text("A\nB\n")
    return path


@bad("E_MATRIX_SHAPE", "transposed")
def matrix_folder_turned_over(folder):
    path = write_mtx(VALUES, folder / "mtx", gz=False)
    other = write_mtx(VALUES.T, folder / "other", gz=False)
    (other / "matrix.mtx").rename(path / "matrix.mtx")
    return path


@bad("E_MATRIX_SHAPE", "matrix.mtx", "out of range")
def matrix_market_counted_from_zero(folder):
    path = write_mtx(VALUES, folder / "mtx", gz=False)
    lines = (path / "matrix.mtx").read_text().splitlines()
    lines[3:] = [" ".join([str(int(n) - 1) for n in line.split()[:2]]) + " 1" for line in lines[3:]]
    (path / "matrix.mtx").write_text("\n".join(lines))
    return path


@bad("E_MATRIX_SHAPE", "(12, 6, 1)")
def matrix_of_three_dimensions(folder):
    path = write(VALUES, folder, "h5ad-dense")
    return edit(path, lambda f: replace(f, "X", VALUES[:, :, None]))


# ---------------------------------------------------------------- type

_TYPES = {
    "truth values": np.ones((12, 6), dtype=bool),
    "complex numbers": np.ones((12, 6), dtype=complex),
    "text": np.full((12, 6), b"7", dtype="S1"),
    "text of any length": np.full((12, 6), "7", dtype=object),
    "records": np.zeros((12, 6), dtype=[("count", "i4"), ("unit", "S2")]),
}
for _name, _content in _TYPES.items():

    @bad("E_MATRIX_TYPE", "not counts", name=f"a matrix of {_name}")
    def _made(folder, content=_content):
        path = write(VALUES, folder, "h5ad-dense")
        return edit(path, lambda file: replace(file, "X", content))


@bad("E_MATRIX_TYPE", "stored as 'dataframe'")
def matrix_that_is_a_table(folder):
    def table(file):
        file["X"].attrs["encoding-type"] = "dataframe"

    return edit(write(VALUES, folder, "h5ad-csr"), table)


@bad("E_MATRIX_TYPE")
def matrix_market_without_values(folder):
    path = write_mtx(VALUES, folder / "mtx", gz=False)
    text = (path / "matrix.mtx").read_text().replace(" integer ", " pattern ")
    (path / "matrix.mtx").write_text(text)
    return path


# ---------------------------------------------------------------- nothing in it, names


@bad("E_FEATURES", "6 Antibody Capture")
def antibodies_alone(folder):
    return write_10x(VALUES, folder / "x.h5", types=["Antibody Capture"] * 6)


@bad("E_FEATURES", "CRISPR Guide Capture")
def guides_alone(folder):
    return write_mtx(VALUES, folder / "mtx", types=["CRISPR Guide Capture"] * 6)


@bad("E_NO_CELLS", "no cells")
def no_cells(folder):
    return saved(folder, anndata(np.zeros((0, 6))))


@bad("E_NO_GENES", "no genes")
def no_genes(folder):
    return saved(folder, anndata(np.zeros((12, 0))))


@bad("E_NO_CELLS", "AAA, CCC", "--cells")
def no_listed_cell_in_the_file(folder):
    (folder / "cells.txt").write_text("AAA\nCCC\n")
    return [write(VALUES, folder, "h5ad-csr"), "--cells", folder / "cells.txt"]


@bad("E_CELL_NAMES", "more than once", "(B)")
def barcodes_twice(folder):
    names = np.array(["A", "B", "B", *"CDEFGHIJK"], dtype=object)
    return edit(write(VALUES, folder, "h5ad-csr"), lambda f: replace(f, "obs/_index", names))


@bad("E_CELL_NAMES", "cell 4")
def barcodes_that_are_empty(folder):
    names = np.array(["A", "B", "C", " ", *"DEFGHIJK"], dtype=object)
    return edit(write(VALUES, folder, "h5ad-csr"), lambda f: replace(f, "obs/_index", names))


@bad("E_CELL_NAMES", "AAAC-1", name="barcodes twice in a matrix folder")
def _twice(folder):
    path = write_mtx(VALUES, folder / "mtx", gz=False)
    (path / "barcodes.tsv").write_text("AAAC-1\n" * 12)
    return path


# ---------------------------------------------------------------- values


def _changed(value: float) -> np.ndarray:
    values = VALUES.astype(float)
    values[3, 2] = value
    return values


for _value, _kind in ((np.nan, "csr"), (np.inf, "csc"), (-np.inf, "dense")):

    @bad("E_NOT_FINITE", barcodes(4)[3], "NKG7", name=f"{_value} in a {_kind} matrix")
    def _made(folder, value=_value, kind=_kind):
        return saved(folder, anndata(_changed(value), kind=kind))


@bad("E_NEGATIVE", "-2 in cell", "NKG7")
def a_count_below_zero(folder):
    return saved(folder, anndata(_changed(-2)))


@bad("E_NEGATIVE", "looks scaled", "--layer")
def scaled_values(folder):
    return saved(folder, anndata((MANY - MANY.mean(0)) / MANY.std(0), kind="dense"))


@bad("E_NOT_COUNTS", "too large")
def counts_beyond_any(folder):
    return saved(folder, anndata(_changed(1e30)))


_NORMAL = {
    "log1p of counts per ten thousand": (
        lambda x: np.log1p(x / x.sum(1, keepdims=True) * 1e4),
        "log1p-normalised",
    ),
    "log2 of counts per million": (
        lambda x: np.log2(x / x.sum(1, keepdims=True) * 1e6 + 1),
        "log1p-normalised",
    ),
    "counts per million": (lambda x: x / x.sum(1, keepdims=True) * 1e6, "size-factor-normalised"),
    "estimated counts": (lambda x: x * (x > 1) * 0.9 + x * (x == 1), "--round"),
}
for _name, (_change, _says) in _NORMAL.items():

    @bad("E_NOT_COUNTS", _says, name=_name)
    def _made(folder, change=_change):
        return saved(folder, anndata(change(MANY)))


@bad("E_NOT_COUNTS", "--layer counts")
def counts_in_a_layer_beside_logarithms(folder):
    return saved(folder, anndata(np.log1p(MANY), layers={"counts": MANY}))


@bad("E_NOT_COUNTS", "--layer raw")
def counts_in_raw_beside_logarithms(folder):
    adata = anndata(np.log1p(MANY))
    adata.raw = anndata(MANY)
    return saved(folder, adata)


@bad("E_UNFILTERED", "20,001 barcodes", "--cells")
def droplets_before_cell_calling(folder):
    values = sparse.csr_matrix((np.ones(20_001, "f4"), (range(20_001), [0] * 20_001)))
    names = pd.DataFrame(index=[f"c{i}" for i in range(20_001)])
    return saved(folder, ad.AnnData(values, obs=names, var=pd.DataFrame(index=["CD3E"])))


# ---------------------------------------------------------------- genes


def _named(folder, names: list[str]):
    table = ad.AnnData(
        VALUES.astype("f4"), obs=pd.DataFrame(index=barcodes(12)), var=pd.DataFrame(index=names)
    )
    return saved(folder, table)


@bad("E_SPECIES", "mouse", "Actb")
def genes_of_mice(folder):
    return _named(folder, ["Actb", "Cd3e", "Gapdh", "Ms4a1", "Nkg7", "Rpl3"])


@bad("E_SPECIES", "ENSMUSG00000029580")
def ids_of_mice(folder):
    return _named(folder, [f"ENSMUSG000000{n}" for n in range(29580, 29586)])


for _name, _genes in {
    "numbers": list("123456"),
    "transcripts": [f"ENST0000030052{n}" for n in range(6)],
    "Affymetrix probes": [f"20{n}_at" for n in range(6)],
    "RefSeq ids": [f"NM_00{n}" for n in range(6)],
    "genome positions": [f"chr1:{n}-9" for n in range(6)],
    "markup": [f"<img src=x onerror=alert({n})>" for n in range(6)],
}.items():

    @bad("E_GENES_UNKNOWN", _genes[0], "--gene-ids", name=f"genes named by {_name}")
    def _made(folder, genes=_genes):
        return _named(folder, genes)

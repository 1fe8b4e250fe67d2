"""Slips in commands, in the configuration, in the sample sheet and among labels."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
from cases import bad, command
from make_files import anndata, counts, write
from small import ROOT

from aidocell.config import check_config
from aidocell.counts.metadata import cell_table
from aidocell.study import read_sheet
from aidocell.texts import Texts

SCHEMA = ROOT / "workflow/schemas/config.schema.json"
CONFIG = check_config({"samples": "s", "model": "m"}, SCHEMA)

# ---------------------------------------------------------------- usage

_USAGE = {
    "no command": ([], "needs a command"),
    "a command that is not there": (["embedd"], "embed"),
    "an option that is not there": (["align", "x", "--ouput", "y"], "--output"),
    "a file too few": (["align", "--output", "y"], "INPUT"),
    "no output": (["align", "x"], "--output"),
    "a share above one": (
        ["align", "x", "--output", "y", "--min-gene-share", "2"],
        "--min-gene-share",
    ),
    "a batch size of none": (
        ["embed", "x", "--model", "m", "--output", "y", "--batch-size", "0"],
        "batch size '0'",
    ),
}
for _name, (_words, _says) in _USAGE.items():

    @bad("E_USAGE", _says, name=_name)
    def _made(folder, words=_words):
        return command(*words)


@bad("E_USAGE", ".zarr.zip")
def output_of_another_name(folder):
    path = write(counts(12), folder, "h5ad-csr")
    return command("align", path, "--output", folder / "out" / "counts.h5ad")


@bad("E_USAGE", "pooling 'median'", "mean")
def pooling_that_is_not_there(folder):
    path = write(counts(12), folder, "h5ad-csr")
    words = ["embed", path, "--model", "m", "--pooling", "median"]
    return command(*words, "--output", folder / "out" / "e.zarr.zip")


# ---------------------------------------------------------------- configuration

_CONFIG = {
    "unknown key": ({"samplez": 1}, "write 'samples'"),
    "unknown key in a section": ({"qc": {"min_gene": 5}}, "write 'min_genes'"),
    "text for a number": ({"qc": {"min_genes": "many"}}, "whole number"),
    "share above a hundred": ({"qc": {"max_mito": 101}}, "at most 100"),
    "not a number": ({"qc": {"mads": float("nan")}}, "'qc.mads'"),
    "value for a section": ({"qc": "strict"}, "a section of keys"),
    "limits that cross": ({"qc": {"min_genes": 500, "max_genes": 400}}, "above max_genes"),
    "method that is not there": ({"annotate": {"methods": ["forest"]}}, "forest"),
    "key that is code": ({"!!python/object/apply:os.system": "x"}, "unknown key"),
    "attention that contradicts precision": ({"embed": {"attention": "flash"}}, "float32"),
    "no model": ({"model": None}, "'model'"),
}
for _name, (_keys, _says) in _CONFIG.items():

    @bad("E_CONFIG", _says, name=f"config: {_name}")
    def _made(folder, keys=_keys):
        return partial(check_config, {"samples": "s", "model": "m", **keys}, SCHEMA)


# ---------------------------------------------------------------- sample sheet

_HEAD = "sample\tpath\n"
_SHEETS = {
    "no path column": ("E_SHEET", "sample\tfile\na\tb\n", "no column 'path'"),
    "commas for tabs": ("E_SHEET", "sample,path\na,b\n", "no column 'sample'"),
    "no sample": ("E_SHEET", _HEAD, "lists no sample"),
    "empty file": ("E_SHEET", "", "samples.tsv"),
    "empty name": ("E_SHEET", _HEAD + "\tx\n", "line 2: 'sample' is empty"),
    "empty path": ("E_SHEET", _HEAD + "a\t\n", "line 2: 'path' is empty"),
    "sample twice": ("E_SHEET", _HEAD + "a\tx\nb\tx\na\ty\n", "line 4: sample 'a'"),
    "tab too few": ("E_SHEET", _HEAD + "a\n", "line 2 has 1 fields"),
    "tab too many": ("E_SHEET", _HEAD + "a\tx\ty\n", "line 2 has 3 fields"),
    "column twice": ("E_SHEET", "sample\tpath\tx\tx\na\tb\tc\td\n", "column 'x' twice"),
    "word for yes or no": ("E_SHEET", "sample\tpath\tround\na\tb\tmaybe\n", "'maybe'"),
    "UTF-16 of a spreadsheet": ("E_SHEET", b"\xff\xfes\0a\0m\0", "not UTF-8"),
    "Latin-1": ("E_SHEET", b"sample\tpath\nM\xfcller\tx\n", "not UTF-8"),
    "threshold out of range": ("E_CONFIG", "sample\tpath\tmax_mito\na\tb\t500\n", "line 2"),
    "name with a path": ("E_SAMPLE_NAME", _HEAD + "../../etc\tx\n", "line 2"),
    "name with a blank": ("E_SAMPLE_NAME", _HEAD + "donor 1\tx\n", "donor 1"),
    "name with a formula": ("E_SAMPLE_NAME", _HEAD + "=1+1\tx\n", "=1+1"),
    "name with markup": ("E_SAMPLE_NAME", _HEAD + "<b>x</b>\tx\n", "<b>x</b>"),
    "name too long": ("E_SAMPLE_NAME", _HEAD + "a" * 65 + "\tx\n", "line 2"),
    "name after a byte order mark": ("E_SAMPLE_NAME", "\ufeffsample\tpath\r\nä\tx\r\n", "line 2"),
}
for _name, (_id, _content, _says) in _SHEETS.items():

    @bad(_id, _says, name=f"sheet: {_name}")
    def _made(folder, content=_content):
        path = folder / "samples.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return partial(read_sheet, path, CONFIG, SCHEMA, root=folder)


@bad("E_SHEET", "cannot be read")
def sheet_that_is_not_there(folder):
    return partial(read_sheet, folder / "none.tsv", CONFIG, SCHEMA, root=folder)


@bad("E_SHEET", "pipe.tsv", "no file")
def sheet_that_is_a_pipe(folder):
    os.mkfifo(folder / "pipe.tsv")
    return partial(read_sheet, folder / "pipe.tsv", CONFIG, SCHEMA, root=folder)


# ---------------------------------------------------------------- labels


def _evaluate(folder, column: list[str], *more: object):
    adata = anndata(counts(12))
    adata.obs["cell_type"] = np.array(column, dtype=object)
    adata.write_h5ad(folder / "cells.h5ad")
    words = ["annotate", "evaluate", folder / "cells.h5ad", "--methods", "majority"]
    return command(*words, *more, "--output", folder / "out" / "judged")


@bad("E_LABEL_MISSING", "'celltype'", "cell_type", "--label")
def label_column_that_is_not_there(folder):
    return _evaluate(folder, ["T", "B"] * 6, "--label", "celltype")


@bad("E_LABEL_MISSING", "--label")
def labels_that_are_all_empty(folder):
    return _evaluate(folder, ["", " "] * 6, "--label", "cell_type")


@bad("E_LABEL_CLASSES", "1 class", "--min-cells-per-class")
def labels_of_one_class(folder):
    return _evaluate(folder, ["T", ""] * 6, "--label", "cell_type")


@bad("E_LABEL_CLASSES", "rare", "--min-cells-per-class")
def class_with_fewer_cells_than_folds(folder):
    return _evaluate(folder, ["T"] * 10 + ["rare"] * 2, "--label", "cell_type")


for _name, _content in {
    "of no cell of the sample": "barcode\tdonor\nZZZ\td\n",
    "with a cell twice": "barcode\tdonor\nA\td\nA\te\n",
    "of ragged lines": "barcode\tdonor\nA\td\te\tf\n",
}.items():

    @bad("E_SHEET", "cells.tsv", name=f"metadata {_name}")
    def _made(folder, content=_content):
        (folder / "cells.tsv").write_text(content)
        names = Texts.of(["A", "B"])
        return partial(cell_table, names, metadata=str(folder / "cells.tsv"), columns={})

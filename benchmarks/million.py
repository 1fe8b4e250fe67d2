"""Memory and time of check, QC and align on many cells; runs alone.

    python benchmarks/million.py --cells 1000000 --folder /scratch/cells
        [--stage check|qc|align|all] [--output benchmarks/results/million-counts.json]

The cells are made up and written in chunks: every gene of the built-in vocabulary and 6,000 others
with a skewed profile of expression, a thousand counts a cell, barcodes like those of 10x, and a
table of categories, numbers and text. Counts are drawn for a hundred thousand cells; where there
are more, they come again under other names. A file that is there is used again. Each stage is a process
of its own; its memory is what is resident of it and its children together (pages that they share
are counted once), looked at 20 times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import psutil
from scipy import sparse

from aidocell.counts import InputOptions
from aidocell.files import atomic, read_json, write_json
from aidocell.genes import Vocabulary

STAGES = ("check", "qc", "align")
MODEL = "genbio-ai/AIDO.Cell-3M"  # names the built-in list of genes; nothing is downloaded
THRESHOLDS = {"min_genes": 200, "max_mito": 20, "mads": 5}
CHUNK = 10_000  # cells made at a time
DRAWN = 10  # chunks of cells that are unlike
OTHER_GENES = 6_000
UMIS = 1_000
TYPES = [f"type {i}" for i in range(12)]
DONORS = [f"donor-{i:02d}" for i in range(40)]


# ---------------------------------------------------------------- the cells


def barcodes(start: int, stop: int) -> list[str]:
    """Unique sequences of 16 letters with the number of a library, ten thousand cells in each."""
    numbers = (np.arange(start, stop, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(4**16)
    digits = (numbers[:, None] >> np.arange(0, 32, 2, dtype=np.uint64)) & np.uint64(3)
    letters = np.frombuffer(b"ACGT", "S1")[digits.astype(int)]
    sequences = letters.view("S16").ravel().astype(str)
    return [f"{s}-{(start + i) // CHUNK + 1}" for i, s in enumerate(sequences)]


@lru_cache(maxsize=DRAWN)
def made_counts(number: int, cells: int) -> sparse.csr_matrix:
    """Raw counts of chunk `number`: cells of unlike depth, drawn by the profile of the genes."""
    generator = np.random.default_rng([1, number])
    depth = generator.lognormal(np.log(UMIS), 0.35, cells).astype(int) + 1
    genes = np.searchsorted(profile(), generator.random(depth.sum()), side="right")
    rows = np.repeat(np.arange(cells), depth)
    ones = np.ones(len(genes), np.float32)
    return sparse.csr_matrix((ones, (rows, genes)), shape=(cells, len(gene_names())))


@cache
def gene_names() -> list[str]:
    return [*Vocabulary.builtin().symbols, *(f"LNC{i:05d}.1" for i in range(OTHER_GENES))]


@cache
def profile() -> np.ndarray:
    """Cumulative share of each gene in a cell's counts."""
    weights = np.random.default_rng(0).lognormal(0, 2.0, len(gene_names()))
    shares = np.cumsum(weights / weights.sum())
    shares[-1] = 1.0
    return shares


def make_file(path: Path, cells: int) -> None:
    """Write the AnnData file in chunks of cells."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        _group(file, "", "anndata", "0.1.0")
        _write_genes(file, gene_names())
        obs, matrix = _empty_tables(file, cells, len(gene_names()))
        lengths = [np.zeros(1, np.int64)]
        for start in range(0, cells, CHUNK):
            stop = min(start + CHUNK, cells)
            counts = made_counts(start // CHUNK % DRAWN, stop - start)
            _append(matrix, counts)
            lengths.append(np.diff(counts.indptr))
            _write_cells(obs, start, stop)
        matrix.create_dataset("indptr", data=np.cumsum(np.concatenate(lengths)))


def _group(parent: h5py.Group, name: str, kind: str, encoding: str) -> h5py.Group:
    group = parent.require_group(name) if name else parent
    group.attrs.update({"encoding-type": kind, "encoding-version": encoding})
    return group


def _array(parent: h5py.Group, name: str, kind: str = "array", **options: object) -> h5py.Dataset:
    array = parent.create_dataset(name, **options)
    array.attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})
    return array


def _text(parent: h5py.Group, name: str, **options: object) -> h5py.Dataset:
    return _array(parent, name, "string-array", dtype=h5py.string_dtype(), **options)


def _write_genes(file: h5py.File, names: list[str]) -> None:
    var = _group(file, "var", "dataframe", "0.2.0")
    var.attrs.update({"_index": "_index", "column-order": np.array([], dtype=h5py.string_dtype())})
    _text(var, "_index", data=names)


def _empty_tables(file: h5py.File, cells: int, genes: int) -> tuple[h5py.Group, h5py.Group]:
    obs = _group(file, "obs", "dataframe", "0.2.0")
    columns = ["cell_type", "donor", "library", "age", "score"]
    obs.attrs.update({"_index": "_index", "column-order": columns})
    for name in ("_index", "library"):
        _text(obs, name, shape=(cells,), chunks=(min(CHUNK, cells),))
    for name, kind in (("age", "i8"), ("score", "f8")):
        _array(obs, name, shape=(cells,), dtype=kind, chunks=(min(CHUNK, cells),))
    for name, values in (("cell_type", TYPES), ("donor", DONORS)):
        column = _group(obs, name, "categorical", "0.2.0")
        column.attrs["ordered"] = False
        _text(column, "categories", data=values)
        _array(column, "codes", shape=(cells,), dtype="i1", chunks=(min(CHUNK, cells),))
    matrix = _group(file, "X", "csr_matrix", "0.1.0")
    matrix.attrs["shape"] = np.array([cells, genes])
    for name, kind in (("data", "f4"), ("indices", "i4")):
        matrix.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(1 << 20,))
    return obs, matrix


def _append(matrix: h5py.Group, counts: sparse.csr_matrix) -> None:
    for name in ("data", "indices"):
        array, values = matrix[name], getattr(counts, name)
        array.resize(len(array) + len(values), axis=0)
        array[len(array) - len(values) :] = values


def _write_cells(obs: h5py.Group, start: int, stop: int) -> None:
    generator = np.random.default_rng([2, start])
    number = stop - start
    obs["_index"][start:stop] = barcodes(start, stop)
    obs["library"][start:stop] = [f"library-{i // CHUNK:04d}" for i in range(start, stop)]
    obs["age"][start:stop] = generator.integers(20, 90, number)
    obs["score"][start:stop] = generator.random(number)
    obs["cell_type/codes"][start:stop] = generator.integers(0, len(TYPES), number)
    obs["donor/codes"][start:stop] = generator.integers(0, len(DONORS), number)


# ---------------------------------------------------------------- the stages


def run_stage(stage: str, path: Path, folder: Path) -> None:
    """What the workflow's rule of that name does, in this process."""
    options = InputOptions()
    if stage == "check":
        from aidocell.stages.check import check_sample

        check_sample(str(path), options, folder / "audit.json", model=MODEL, min_share=0.5)
    elif stage == "qc":
        from aidocell.stages.qc import qc_sample

        qc_sample(
            str(path),
            options,
            folder / "qc.parquet",
            audit=folder / "audit.json",
            thresholds=THRESHOLDS,
            model=MODEL,
        )
    else:
        from aidocell.stages.align import align_sample

        align_sample(
            str(path),
            options,
            folder / "counts.zarr.zip",
            audit=folder / "audit.json",
            qc_table=folder / "qc.parquet",
            model=MODEL,
            min_share=0.5,
            subset={"cells": None, "balance": None, "seed": 0},
            metadata=None,
            columns={"batch": "one"},
        )


def measured(stage: str, path: Path, folder: Path) -> dict[str, float]:
    """Run a stage as a process; seconds, and the peak memory of it and its children."""
    command = [sys.executable, __file__, "--child", stage, str(path), str(folder)]
    start, peak = time.perf_counter(), 0
    child = subprocess.Popen(command)
    while child.poll() is None:
        peak = max(peak, _resident(child.pid))
        time.sleep(0.05)
    if child.returncode:
        sys.exit(f"{stage} failed with status {child.returncode}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gib": round(peak / 2**30, 3),
    }


def _resident(pid: int) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):  # it ended between two looks
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    return total


def machine() -> dict[str, object]:
    return {
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "pandas", "pyarrow", "h5py", "zarr")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parser.add_argument("--folder", type=Path, help="for the cells and the stages' outputs")
    parser.add_argument("--output", type=Path, help="JSON to add the figures to")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        stage, path, folder = arguments.child
        run_stage(stage, Path(path), Path(folder))
        return
    if arguments.folder is None:
        parser.error("give --folder")
    folder = arguments.folder / str(arguments.cells)
    path = folder / "cells.h5ad"
    if not path.is_file():
        make_file(path, arguments.cells)
    found = {}
    for stage in STAGES if arguments.stage == "all" else [arguments.stage]:
        found[stage] = measured(stage, path, folder)
        print(arguments.cells, stage, json.dumps(found[stage]), flush=True)
    if arguments.output:
        record(arguments.output, arguments.cells, path, found)


def record(output: Path, cells: int, path: Path, found: dict) -> None:
    """Add the figures of a number of cells to those that are there."""
    content = read_json(output) if output.is_file() else {}
    with h5py.File(path) as file:
        stored = len(file["X/data"])
    old = content.get("cells", {}).get(str(cells), {})
    figures = {**old, "counts_a_cell": round(stored / cells), **found}
    content = {"machine": machine(), "cells": {**content.get("cells", {}), str(cells): figures}}
    write_json(output, content)


if __name__ == "__main__":
    main()

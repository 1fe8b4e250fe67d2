"""Time and memory of resolving gene names, checking and aligning; runs alone.

    python benchmarks/align.py [--copies 10] [--output benchmarks/results/align.json]

The cells are the 2,700 of resources/pbmc3k.h5ad, repeated `--copies` times under other names for
the last figures, whose peak memory shows that a file is never held whole.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad

import aidocell
from aidocell.counts import InputOptions, align_file, check
from aidocell.files import write_json
from aidocell.genes import Resolver, Vocabulary

PBMC = Path(__file__).parents[1] / "resources/pbmc3k.h5ad"


def seconds(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Shortest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


def repeated(copies: int, folder: Path) -> Path:
    """A file with the cells of PBMC `copies` times."""
    cells = ad.read_h5ad(PBMC)
    many = ad.concat([cells] * copies, index_unique="-", keys=map(str, range(copies)), merge="same")
    many.write_h5ad(folder / "many.h5ad")
    return folder / "many.h5ad"


def peak_mb(path: Path, output: Path) -> float:
    """Peak memory of aligning `path` in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, "--measure", str(path), str(output)],
        capture_output=True,
        text=True,
        check=True,
    )
    return round(int(run.stdout) / 1024)


def measure(path: str, output: str) -> None:
    """Align and print the peak memory of this process in KiB."""
    align_file(path, output, overwrite=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def figures(copies: int) -> dict[str, float]:
    counts = aidocell.read_counts(PBMC)
    names = {"ids": list(counts.var["gene_ids"]), "symbols": list(counts.var_names)}
    resolver = Resolver(Vocabulary.builtin())
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts.zarr.zip"
        many = repeated(copies, Path(folder))
        return {
            "resolver_set_up_s": seconds(lambda: Resolver(Vocabulary.builtin())),
            "resolve_32738_rows_s": seconds(lambda: resolver.resolve(**names)),
            "read_2700_cells_s": seconds(lambda: aidocell.read_counts(PBMC)),
            "align_2700_cells_s": seconds(lambda: aidocell.align(counts)),
            "check_2700_cells_s": seconds(lambda: check(PBMC, InputOptions())),
            "align_file_2700_cells_s": seconds(lambda: align_file(PBMC, output, overwrite=True)),
            "cells_of_large_file": 2700 * copies,
            "align_file_large_s": seconds(
                lambda: align_file(many, output, overwrite=True), repeats=1
            ),
            "peak_mb_2700_cells": peak_mb(PBMC, output),
            "peak_mb_large": peak_mb(many, output),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time resolving, checking and aligning.")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure)
        return
    found = figures(arguments.copies)
    for name, value in found.items():
        print(f"{name:28} {value:>10}")
    if arguments.output:
        write_json(arguments.output, found)


if __name__ == "__main__":
    main()

"""Memory and time of the jobs around the embedding of many cells; runs alone.

    python benchmarks/million_embed.py --cells 100000 1000000 --folder /scratch/embed
        [--counts /scratch/cells] [--output benchmarks/results/million-embed.json]

The cells are one sample. Their counts come from the folder of benchmarks/million.py, or are made
up with twenty counts a cell. The shards hold random vectors of AIDO.Cell-3M's width in the place of
embeddings, and the table of quality control random figures: no job here looks at what they mean.
Each job is a process of its own; its memory is the largest resident size that the kernel noted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from million import DONORS, TYPES, barcodes, machine

SAMPLE = "cells"
WIDTH = 128  # of AIDO.Cell-3M
COUNTS_PER_CELL = 20
RANGE = 50_000  # cells made at a time
OPTIONS = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
MODEL = {
    "id": "stand-in",
    "sha256": "a" * 64,
    "source": "folder",
    "revision": None,
    "demonstration": True,
    "card": {},
}
CONFIG = {
    "model": "stand-in",
    "samples": "samples.tsv",
    "embed": OPTIONS,
    "annotate": {"label": "cell_type"},
    "report": {"max_cells_in_map": 20_000},
}


# ---------------------------------------------------------------- what the jobs read


def make_counts(home: Path, cells: int, source: Path | None) -> None:
    """Counts, QC and audit of the sample, linked or made up."""
    home.mkdir(parents=True, exist_ok=True)
    if source:
        for name in ("counts.zarr.zip", "qc.parquet", "audit.json"):
            (home / name).symlink_to((source / name).resolve())
        return
    import anndata as ad

    from aidocell.genes import Vocabulary
    from aidocell.records import write_record
    from aidocell.store import write_store

    genes = Vocabulary.builtin()
    names = barcodes(0, cells)
    table = ad.AnnData(
        _few_counts(cells, len(genes.symbols)),
        obs=_cell_table(names),
        var=pd.DataFrame({"measured": True}, index=list(genes.symbols)),
    )
    digests = {"counts_digest": "d" * 64, "input_sha256": "1" * 64, "genes_sha256": genes.sha256}
    write_store(table, home / "counts.zarr.zip", provenance={"stage": "align", **digests})
    _write_qc(home / "qc.parquet", names)
    write_record(home / "audit.json", _audit(cells, len(genes.symbols)))


def _audit(cells: int, genes: int) -> dict[str, object]:
    """As check writes it of a file in which every gene is known by its symbol."""
    umis = cells * COUNTS_PER_CELL
    nothing = ("added_up", "ambiguous", "conflicts", "unresolved_top", "warnings")
    return {
        "accepted": True,
        "path": "cells.h5ad",
        "format": "h5ad",
        "layer": None,
        "cells": cells,
        "genes": genes,
        "umis": umis,
        "feature_types": {"Gene Expression": genes},
        "measured": genes,
        "vocabulary": genes,
        "routes": {"symbol": {"genes": genes, "umis": umis, "share": 1.0}},
        "share_resolved": 1.0,
        **{name: [] for name in nothing},
        "added_up_genes": 0,
        "conflicts_total": 0,
        "empty_cells": {"n": 0, "first": []},
        "deep_cells": 0,
    }


def _few_counts(cells: int, genes: int):
    from scipy import sparse

    places = np.random.default_rng(0).integers(0, genes, cells * COUNTS_PER_CELL, dtype=np.int32)
    ends = np.arange(0, len(places) + 1, COUNTS_PER_CELL)
    counts = sparse.csr_matrix((np.ones(len(places), np.int32), places, ends), (cells, genes))
    counts.sum_duplicates()
    return counts


def _cell_table(names: list[str]) -> pd.DataFrame:
    generator, number = np.random.default_rng(1), len(names)
    columns = {
        "cell_type": pd.Categorical.from_codes(generator.integers(0, len(TYPES), number), TYPES),
        "donor": pd.Categorical.from_codes(generator.integers(0, len(DONORS), number), DONORS),
        "library": [f"library-{i // 10_000:04d}" for i in range(number)],
        "age": generator.integers(20, 90, number),
    }
    return pd.DataFrame(columns, index=names)


def _write_qc(path: Path, names: list[str]) -> None:
    import pyarrow as pa

    from aidocell.tables import new_table

    shares = ("pct_counts_mt", "pct_counts_ribo", "pct_counts_hb", "pct_counts_in_top_20_genes")
    types = {"cell": pa.string(), "n_genes_by_counts": pa.int64(), "total_counts": pa.int64()}
    types |= dict.fromkeys([*shares, "doublet_score"], pa.float64())
    schema = pa.schema({**types, "kept": pa.bool_(), "reason": pa.string()})
    generator = np.random.default_rng(2)
    with new_table(path, schema, about={"bounds": {}}) as writer:
        for start in range(0, len(names), RANGE):
            part = names[start : start + RANGE]
            genes = generator.integers(200, 4000, len(part))
            columns = {name: generator.gamma(2, 3, len(part)) for name in shares}
            columns |= {"cell": part, "n_genes_by_counts": genes, "total_counts": genes * 3}
            columns |= {
                "doublet_score": np.full(len(part), np.nan),
                "kept": genes > 0,
                "reason": "",
            }
            writer.write_table(pa.Table.from_pandas(pd.DataFrame(columns), schema))


def make_shards(home: Path) -> None:
    """A store of random vectors in the place of every shard of the plan."""
    import anndata as ad

    from aidocell.planning import read_plan
    from aidocell.store import EMBEDDING, StoreReader, write_store

    plan = read_plan(home / "shards.json")
    kept = ("run_key", "model", "genes_sha256", "counts_digest", "options")
    generator = np.random.default_rng(3)
    with StoreReader(home / "counts.zarr.zip") as counts:
        record = {"input_sha256": counts.provenance["input_sha256"], "stage": "embed"}
        for path, (start, stop) in zip(_shards(home), plan["shards"], strict=True):
            vectors = generator.standard_normal((stop - start, WIDTH), np.float32)
            shard = ad.AnnData(
                obs=pd.DataFrame(index=counts.cells(start, stop)), obsm={EMBEDDING: vectors}
            )
            provenance = {**record, **{name: plan[name] for name in kept}}
            write_store(shard, path, provenance=provenance, overwrite=True)


def _shards(home: Path) -> list[Path]:
    from aidocell.stages.shards import shard_paths

    return [Path(path) for path in shard_paths(home / "shards.json")]


# ---------------------------------------------------------------- the jobs


def plan(home: Path, shard_cells: int) -> None:
    from aidocell.genes import Vocabulary
    from aidocell.planning import plan_shards

    checkpoint = {**MODEL, "genes_sha256": Vocabulary.builtin().sha256}
    plan_shards(
        home / "counts.zarr.zip",
        home / "shards.json",
        checkpoint=checkpoint,
        shard_cells=shard_cells,
        cells_per_second=1.0,
        **OPTIONS,
    )


def open_shard(home: Path) -> None:
    """What a shard's job reads beside its checkpoint: the last 2,000 cells."""
    from aidocell.store import StoreReader

    with StoreReader(home / "counts.zarr.zip") as store:
        rows = (store.shape[0] - 2000, store.shape[0])
        assert store.rows(*rows).shape[0] == len(store.cells(*rows)) == 2000
        assert store.var["measured"].any()


def gather(home: Path) -> None:
    from aidocell.gathering import gather as join

    counts, planned = home / "counts.zarr.zip", home / "shards.json"
    join(counts, planned, _shards(home), home / "embeddings.zarr.zip")


def draw_map(home: Path) -> None:
    from aidocell.report.umap import make_map

    stores = {SAMPLE: home / "embeddings.zarr.zip"}
    make_map(stores, home.parents[1] / "study" / "map.parquet", max_cells=20_000)


def annotate(home: Path) -> None:
    from aidocell.tasks.annotate_files import annotate_evaluate

    annotate_evaluate(
        home.parents[1] / "study" / "annotate",
        label="cell_type",
        embeddings=[home / "embeddings.zarr.zip"],
        counts=[home / "counts.zarr.zip"],
        samples=[SAMPLE],
        methods=["knn", "majority"],
        overwrite=True,
    )


def report(home: Path) -> None:
    from aidocell.files import remove
    from aidocell.report import write_report

    results = home.parents[1]
    remove(results / "report")
    write_report(results, [{"sample": SAMPLE}], results / "report", config=CONFIG)
    for page in results.glob("report/**/*.html"):
        print(f"{page.name}: {page.stat().st_size / 2**20:.1f} MiB", file=sys.stderr)


def manifest(home: Path) -> None:
    from aidocell.manifest import write_manifest

    outputs = {
        "align": [str(home / "counts.zarr.zip")],
        "gather": [str(home / "embeddings.zarr.zip")],
    }
    write_manifest(outputs, home.parents[1] / "manifest.tsv")


def export(home: Path) -> None:
    from aidocell.store import export as write

    write(home / "embeddings.zarr.zip", home / "embeddings.h5ad", overwrite=True)
    (home / "embeddings.h5ad").unlink()


JOBS: dict[str, Callable[[Path], None]] = {
    "plan": plan,
    "open_shard": open_shard,
    "make_shards": make_shards,
    "gather": gather,
    "map": draw_map,
    "annotate": annotate,
    "report": report,
    "manifest": manifest,
    "export": export,
}
PREPARING = ("make_shards",)


def measured(job: str, *arguments: object) -> dict[str, float]:
    """Run a job as a process; seconds, and its peak memory as the kernel noted it."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, "--child", job, *map(str, arguments)])
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{job} failed with status {status}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 3),
    }


def run_size(arguments: argparse.Namespace, cells: int) -> dict[str, dict[str, float]]:
    """All jobs on one number of cells."""
    home = arguments.folder / str(cells) / "results" / "samples" / SAMPLE
    if not (home / "counts.zarr.zip").exists():
        source = arguments.counts / str(cells) if arguments.counts else ""
        measured("counts", home, cells, source)
    found = {}
    for job in arguments.jobs:
        given = [home, arguments.shard_cells] if job == "plan" else [home]
        figures = measured(job, *given)
        if job not in PREPARING:
            found[job] = figures
        print(cells, job, json.dumps(figures), flush=True)
    return found


def run_child(job: str, home: str, *arguments: str) -> None:
    if job == "counts":
        cells, source = arguments
        make_counts(Path(home), int(cells), Path(source) if source else None)
    else:
        JOBS[job](Path(home), *map(int, arguments))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--shard-cells", type=int, default=20_000, help="cells in a shard")
    parser.add_argument("--folder", type=Path, help="for what the jobs read and write")
    parser.add_argument("--counts", type=Path, help="folder that million.py filled")
    parser.add_argument("--output", type=Path, help="JSON to add the figures to")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(*arguments.child)
        return
    if arguments.folder is None:
        parser.error("give --folder")
    for cells in arguments.cells:
        found = run_size(arguments, cells)
        if arguments.output:
            record(arguments, cells, found)


def record(arguments: argparse.Namespace, cells: int, found: dict) -> None:
    """Add the figures of a number of cells to those that are there."""
    from aidocell.files import read_json, write_json

    content = read_json(arguments.output) if arguments.output.is_file() else {}
    sizes = content.get("cells", {})
    sizes[str(cells)] = {**sizes.get(str(cells), {}), **found}
    counts = "of million.py" if arguments.counts else f"{COUNTS_PER_CELL} a cell, made up"
    stand_in = f"random vectors, {WIDTH} wide, in shards of {arguments.shard_cells:,} cells"
    described = {"embeddings": stand_in, "counts": counts}
    write_json(arguments.output, {"machine": machine(), **described, "cells": sizes})


if __name__ == "__main__":
    main()

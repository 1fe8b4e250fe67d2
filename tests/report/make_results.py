"""A small results folder with everything in it that a page can stumble over.

Three samples, one of them refused; names of labels, genes, batches and paths try to be markup.
Run as a script to look at the report: ``python tests/report/make_results.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.records import write_record
from aidocell.report import write_report
from aidocell.report.umap import make_map
from aidocell.store import write_store
from aidocell.tables import write_table
from aidocell.tasks.annotate import evaluate, write_evaluation

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script>"
FORMULA = '=HYPERLINK("http://example.org")'
QUOTE = "\"' onmouseover='alert(3)"
LABELS = ["CD4 T", "CD14+ Mono", "B", IMAGE, FORMULA, SCRIPT]
SHEET = [{"sample": "pbmc_a"}, {"sample": "pbmc_b"}, {"sample": "spleen"}]
KEYS = {"pbmc_a": "a" * 64, "pbmc_b": "b" * 64}
CONFIG = {
    "model": "resources/demo-checkpoint",
    "samples": "config/samples.tsv",
    "embed": {"pooling": "mean", "precision": "float32", "shard_cells": 60},
    "annotate": {"label": "cell_type", "note": SCRIPT},
    "report": {"title": f"Blood & spleen {IMAGE}", "verdict": {"min_cells": {"warn": 100}}},
}
MODEL = {
    "id": "aidocell-demo",
    "sha256": "d" * 64,
    "source": "folder",
    "revision": None,
    "weights_sha256": "e" * 64,
    "genes_sha256": "9" * 64,
    "demonstration": True,
    "card": {
        "license": "Apache-2.0",
        "untrained": {"mean": 0.53, "max": 0.64},
        "classifier": "logistic regression, 5-fold",
        "cells": 216,
        "seeds": [{"seed": 0}, {"seed": 1}, {"seed": 2}],
    },
}


def make_results(folder: Path, *, cells: int = 150, seed: int = 0) -> Path:
    """Write a results folder as the workflow leaves it."""
    rng = np.random.default_rng(seed)
    tables = {name: _embeddings(name, cells, rng) for name in KEYS}
    for place, (name, table) in enumerate(tables.items()):
        home = folder / "samples" / name
        _write(home / "audit.json", audit(name, measured=18_000 + place))
        qc = qc_table(table.obs_names, rng, poor=place == 1)
        write_table(qc, home / "qc.parquet", about=qc.attrs)
        write_store(table, home / "embeddings.zarr.zip", provenance=provenance(name))
        _write(home / "shards.json", plan(name, cells))
        _benchmarks(folder, name, cells)
    _write(folder / "samples" / "spleen" / "audit.json", refusal())
    stores = {name: folder / "samples" / name / "embeddings.zarr.zip" for name in KEYS}
    make_map(stores, folder / "study" / "map.parquet", max_cells=200, seed=1)
    _annotate(folder / "study" / "annotate", tables)
    _write(folder / "model.json", MODEL)
    return folder


def audit(name: str, *, measured: int) -> dict:
    routes = {
        "ensembl_id": 0.93,
        "symbol": 0.02,
        "alias": 0.015,
        "unresolved": 0.03,
        "ambiguous": 0.005,
    }
    return {
        "accepted": True,
        "path": f"data/{name}{QUOTE}.h5ad",
        "sha256": "0123456789abcdef" * 4,
        "format": "h5ad",
        "layer": None,
        "cells": 152,
        "genes": 32_738,
        "umis": 350_000,
        "feature_types": {"Gene Expression": 32_738, f"Antibody {IMAGE}": 12},
        "measured": measured,
        "vocabulary": 19_264,
        "routes": {
            route: {"genes": 100, "umis": int(350_000 * share), "share": share}
            for route, share in routes.items()
        },
        "share_resolved": 0.965,
        "added_up": [{"gene": "TBCE", "rows": ["TBCE", "TBCE-1"]}],
        "added_up_genes": 1,
        "ambiguous": [{"name": IMAGE, "umis": 1700}],
        "conflicts": [{"row": 7, "id": "ENSG0", "symbol": SCRIPT, "kept": "A1BG", "other": "NAT2"}],
        "conflicts_total": 27,
        "unresolved_top": [
            {"name": gene, "umis": umis}
            for gene, umis in [(IMAGE, 4000), ("AC012345.1", 2100), (FORMULA, 600), (QUOTE, 30)]
        ],
        "empty_cells": {"n": 0, "first": []},
        "deep_cells": 0,
        "warnings": [{"id": "few-genes", "text": f"very few genes in cells of {IMAGE}"}],
    }


def refusal() -> dict:
    return {
        "accepted": False,
        "path": "data/spleen.h5ad",
        "error": {
            "id": "E_NOT_COUNTS",
            "what": f"spleen.h5ad holds values like log1p of counts in {IMAGE}",
            "fix": "give the layer 'counts', which holds raw counts, to --layer",
        },
    }


def qc_table(cells: pd.Index, rng: np.random.Generator, *, poor: bool = False) -> pd.DataFrame:
    """QC of `cells` and two more that were left out."""
    names = [*cells, "empty-1", "dying-1"]
    n = len(names)
    counts = np.round(rng.lognormal(7.6, 0.5, n))
    genes = np.round(counts**0.87)
    mito = np.clip(rng.normal(14 if poor else 3, 1.5, n), 0, 100)
    genes[-2], counts[-2], mito[-1] = 90, 110, 61
    table = pd.DataFrame(
        {
            "cell": names,
            "n_genes_by_counts": genes,
            "total_counts": counts,
            "pct_counts_mt": mito,
            "pct_counts_ribo": rng.normal(30, 5, n),
            "pct_counts_hb": np.abs(rng.normal(0, 0.2, n)),
            "pct_counts_in_top_20_genes": rng.normal(40, 5, n),
            "vocabulary_counts": counts,
            "doublet_score": np.nan,
            "kept": True,
            "reason": "",
        }
    )
    table.loc[n - 2 :, "kept"] = False
    table.loc[n - 2, "reason"] = "fewer than 200 genes; fewer than 500 counts"
    table.loc[n - 1, "reason"] = "more than 20 % mitochondrial"
    table.attrs["bounds"] = {
        "n_genes_by_counts": {"lower": {"value": 200.0, "source": "min_genes"}},
        "total_counts": {"lower": {"value": 500.0, "source": "min_counts"}},
        "pct_counts_mt": {"upper": {"value": 20.0, "source": "max_mito"}},
    }
    return table


def provenance(name: str) -> dict:
    options = {"pooling": "mean", "precision": "float32", "attention": "auto"}
    return {
        "stage": "embed",
        "version": "0.1.0",
        "run_key": KEYS[name],
        "model": {"id": "aidocell-demo", "sha256": "d" * 64},
        "genes_sha256": "9" * 64,
        "counts_digest": "c" * 64,
        "options": options,
        "resolved": {"device": "cpu", "precision": "float32", "attention": "sdpa"},
    }


def plan(name: str, cells: int) -> dict:
    shards = [[start, min(start + 60, cells)] for start in range(0, cells, 60)]
    planned = {"seconds": cells * 0.4, "cells_per_second": 2.5, "source": f"given by {IMAGE}"}
    plan = {"cells": cells, "planned": planned, "shards": shards}
    return {**plan, "run_key": KEYS[name], "key": KEYS[name][:12]}


def _embeddings(name: str, cells: int, rng: np.random.Generator) -> ad.AnnData:
    labels = np.array(LABELS, dtype=object)[
        rng.choice(6, cells, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    ]
    centres = np.random.default_rng(9).normal(0, 1.3, (6, 16))
    codes = [LABELS.index(label) for label in labels]
    vectors = centres[codes] + rng.normal(0, 1, (cells, 16))
    obs = pd.DataFrame(
        {"cell_type": labels, "batch": rng.choice([f"run {IMAGE}", SCRIPT, "plain"], cells)},
        index=[f"{name[-1]}{i:04d}-1" for i in range(cells)],
    )
    return ad.AnnData(obs=obs, obsm={"X_aidocell": vectors.astype(np.float32)})


def _annotate(folder: Path, tables: dict[str, ad.AnnData]) -> None:
    cells = [f"{name}:{cell}" for name, table in tables.items() for cell in table.obs_names]
    labels = [label for table in tables.values() for label in table.obs["cell_type"].astype(str)]
    vectors = np.concatenate([table.obsm["X_aidocell"] for table in tables.values()])
    counts = np.round(np.exp(np.clip(vectors, -3, 3)) * 3)
    result = evaluate(
        labels,
        cells,
        methods=["logistic", "knn", "genes-logistic", "pca-logistic", "majority"],
        embeddings=vectors,
        counts=sparse.csr_matrix(counts),
        folds=3,
        draws=100,
    )
    write_evaluation(result, folder)


def _benchmarks(folder: Path, name: str, cells: int) -> None:
    files = {f"qc/{name}": 2.4, f"align/{name}": 3.1, f"embed_shard/{name}/{'0' * 12}/0-60": 999.0}
    files |= {
        f"embed_shard/{name}/{KEYS[name][:12]}/{start}-{stop}": (stop - start) * 0.8
        for start, stop in plan(name, cells)["shards"]
    }
    for path, seconds in files.items():
        target = folder / "benchmarks" / f"{path}.tsv"
        target.parent.mkdir(parents=True, exist_ok=True)
        memory = "-" if path.startswith("qc") else "812.4"
        target.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{memory}\n")


def _write(path: Path, content: dict) -> None:
    write_record(path, content)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_report(
        make_results(target / "results"),
        SHEET,
        target / "report",
        config=CONFIG,
        command="snakemake --configfile config/config.yaml",
    )

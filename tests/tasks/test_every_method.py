"""All methods in one command, on a few real cells and the demonstration checkpoint."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from small import ROOT
from typer.testing import CliRunner

from aidocell.baselines import METHODS, scanvi
from aidocell.baselines.packages import borrowed, normalised
from aidocell.cli import app

TYPES = ["B", "CD14 Monocytes"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Of sixteen cells of two types in two folds; the reference learned from others."""
    folder = tmp_path_factory.mktemp("every")
    cells = ad.read_h5ad(ROOT / "resources" / "pbmc3k.h5ad")
    labels = cells.obs["cell_type"].to_numpy(str)
    rows = np.concatenate([np.flatnonzero(labels == name)[:48] for name in TYPES])
    mine = np.arange(len(rows)) % 48 < 8
    cells[rows[mine]].write_h5ad(folder / "cells.h5ad")
    others = cells[rows[~mine]]
    with borrowed("celltypist", seed=0) as celltypist:
        dense = normalised(others.X, others.var_names)
        dense.X = dense.X.toarray()
        known = celltypist.train(dense, labels=labels[rows[~mine]], n_jobs=1, max_iter=50)
        known.write(str(folder / "known.pkl"))
    words = ["annotate", "evaluate", str(folder / "cells.h5ad"), "--label", "cell_type"]
    words += ["--methods", ",".join(METHODS), "--model", str(ROOT / "resources/demo-checkpoint")]
    words += ["--reference", str(folder / "known.pkl"), "--folds", "2", "--device", "cpu"]
    words += ["--finetune", "mode=frozen", "--finetune", "epochs=5"]
    with pytest.MonkeyPatch.context() as patch:  # a small config, as for fine-tuning
        patch.setattr(scanvi, "MOST_EPOCHS", 40)
        patch.setattr(scanvi, "LEAST_STEPS", 40)
        result = CliRunner().invoke(app, [*words, "--output", str(folder / "out")])
    assert result.exit_code == 0, result.output
    return folder / "out"


def test_every_method_runs(outputs):
    metrics = pd.read_csv(outputs / "metrics.tsv", sep="\t")
    pooled = metrics.query("fold == 'all' and metric == 'macro_f1'").set_index("method")
    assert set(pooled.index) == set(METHODS)
    assert pooled["value"].notna().all(), pooled["note"].dropna().tolist()


def test_every_method_calls_every_cell_once(outputs):
    predictions = pd.read_parquet(outputs / "predictions.parquet")
    assert predictions.groupby("method")["cell"].nunique().eq(16).all()
    assert len(predictions) == 16 * len(METHODS)
    sums = predictions[[f"p_{name}" for name in TYPES]].sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_methods_that_learn_from_genes_tell_b_cells_from_monocytes(outputs):
    metrics = pd.read_csv(outputs / "metrics.tsv", sep="\t")
    pooled = metrics.query("fold == 'all' and metric == 'macro_f1'").set_index("method")["value"]
    assert pooled[["genes-logistic", "genes-svm", "celltypist", "reference"]].min() > 0.8

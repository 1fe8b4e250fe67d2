"""The gene baselines on real blood cells, all genes of the file."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from aidocell.tasks.annotate import evaluate

PBMC = Path(__file__).parents[2] / "resources" / "pbmc3k.h5ad"
METHODS = ["genes-logistic", "pca-logistic", "pca-knn", "majority"]


@pytest.fixture(scope="module")
def evaluation():
    """216 cells, as even over the eight types as their numbers allow."""
    cells = ad.read_h5ad(PBMC)
    labels = cells.obs["cell_type"].astype(str).to_numpy()
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == name))[:29] for name in np.unique(labels)]
    chosen = cells[np.concatenate(rows)]
    return evaluate(
        chosen.obs["cell_type"], chosen.obs_names, methods=METHODS, counts=chosen.X, seed=0
    )


def test_gene_baselines_know_blood_cells_and_majority_does_not(evaluation):
    pooled = evaluation.metrics.query("fold == 'all' and metric == 'macro_f1'")
    values = pooled.set_index("method")["value"]
    assert values["genes-logistic"] > 0.88
    assert values["pca-logistic"] > 0.75
    assert values["pca-knn"] > 0.5  # chance is 0.12
    assert values["majority"] < 0.1


def test_every_cell_is_called_once_and_solvers_converge(evaluation):
    assert evaluation.predictions.groupby("method")["cell"].nunique().tolist() == [216] * 4
    assert evaluation.summary["labels"]["Megakaryocytes"] == 13
    assert evaluation.summary["warnings"] == []


def test_a_clear_difference_excludes_zero(evaluation):
    row = evaluation.comparisons.query(
        "method == 'genes-logistic' and reference == 'majority' and metric == 'macro_f1'"
    )
    assert row["low"].item() > 0.6

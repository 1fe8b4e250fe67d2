"""A fine-tuned network labels new cells by their counts, with the columns of other classifiers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small import TINY, make_cells
from typer.testing import CliRunner

from aidocell.cli import app
from aidocell.errors import InputError
from aidocell.model import load_model
from aidocell.train.finetune import finetune
from aidocell.train.finetuned_folder import load_finetuned, save_finetuned
from aidocell.train.options import FinetuneOptions


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    cells, folder = make_cells(30), tmp_path_factory.mktemp("tuned")
    options = FinetuneOptions(mode="frozen", epochs=2, device="cpu")
    labels = cells.obs["cell_type"].to_numpy(object)
    given = {"model": load_model(TINY), "options": options, "distances": True}
    save_finetuned(finetune(cells.X, labels, **given), folder / "t")
    make_cells(12, seed=1).write_h5ad(folder / "new.h5ad")
    return folder


def applied(folder, output, *words):
    query, classifier = str(folder / "new.h5ad"), str(folder / "t")
    given = ["annotate", "apply", query, "--classifier", classifier, "--output", str(output)]
    return CliRunner().invoke(app, [*given, "--device", "cpu", *words])


def test_its_table_has_the_columns_of_other_classifiers(tuned, tmp_path):
    result = applied(tuned, tmp_path / "out.parquet", "--unknown-threshold", "0.9")
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(tmp_path / "out.parquet")
    first = ["cell", "predicted", "probability", "unknown", "distance"]
    assert table.columns.tolist() == [*first, "p_early", "p_late"]
    assert (table["unknown"] == (table["probability"] < 0.9)).all()
    new, network = make_cells(12, seed=1), load_finetuned(tuned / "t", device="cpu")
    np.testing.assert_allclose(table["distance"], network.distances(network.pooled(new.X)))
    expected = network.predict_proba(new.X)
    np.testing.assert_allclose(table.filter(like="p_").to_numpy(), expected, rtol=1e-6)


def test_without_a_threshold_its_far_cells_are_unknown_or_none(tuned, tmp_path):
    assert applied(tuned, tmp_path / "out.parquet").exit_code == 0
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert (table["unknown"] == (table["distance"] > 1)).all()
    assert applied(tuned, tmp_path / "none.parquet", "--no-unknown").exit_code == 0
    assert not pd.read_parquet(tmp_path / "none.parquet")["unknown"].any()


@pytest.mark.parametrize("words", [("--vote",), ("--model", str(TINY)), ("--pooling", "max")])
def test_options_that_it_has_no_use_for_are_refused(tuned, tmp_path, words):
    result = applied(tuned, tmp_path / "out.parquet", *words)
    assert isinstance(result.exception, InputError)
    assert result.exception.id == "E_USAGE"
    assert words[0] in result.exception.what

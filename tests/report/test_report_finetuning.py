"""The learning curves of a fine-tuning in the report."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from aidocell.errors import InputError
from aidocell.report.figures.curves import learning_curves
from aidocell.report.finetuning import Tuning, read_tuning
from aidocell.train.finetune import finetune
from aidocell.train.finetuned_folder import save_finetuned
from aidocell.train.options import FinetuneOptions


def tuning(epochs=3, *, judged=True):
    table = pd.DataFrame(
        {
            "epoch": np.arange(1, epochs + 1),
            "train_loss": np.linspace(1.5, 0.25, epochs),
            "validation_loss": np.linspace(1.25, 0.5, epochs) if judged else np.nan,
            "validation_macro_f1": np.linspace(0.3, 0.85, epochs) if judged else np.nan,
        }
    )
    content = {
        "options": {"mode": "lora"},
        "base": {"id": "<b>base</b>"},
        "training": {"cells": 90},
        "validation": {"cells": 10, "epoch": epochs, "macro_f1": 0.85 if judged else None},
    }
    return Tuning(content, table)


def test_every_epoch_is_a_point_of_each_curve():
    figure = learning_curves(tuning(3))
    assert figure.body.count("<circle") == 3 * 3
    assert "training, epoch 3: 0.25" in figure.body
    assert "cells set apart, epoch 1: 0.3" in figure.body
    assert "90 cells learned from, 10 set apart" in figure.n


@pytest.mark.parametrize("epochs", [1, 2, 200])
def test_few_and_many_epochs_are_drawn(epochs):
    assert "nan" not in learning_curves(tuning(epochs)).body


def test_without_cells_set_apart_the_training_loss_stands_alone():
    figure = learning_curves(tuning(judged=False))
    assert figure.body.count("<circle") == 3
    assert "macro-F1" not in figure.body


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    from small import TINY, make_cells

    from aidocell.model import load_model

    adata, model = make_cells(30), load_model(TINY)
    options = FinetuneOptions(mode="frozen", epochs=2, device="cpu")
    labels = adata.obs["cell_type"].to_numpy(object)
    folder = tmp_path_factory.mktemp("study") / "finetune"
    save_finetuned(finetune(adata.X, labels, model=model, options=options), folder)
    return folder, model.checkpoint.sha256


def test_a_folder_is_read_with_its_history(written):
    folder, sha256 = written
    found = read_tuning(folder, {"sha256": sha256})
    assert found.mode == "frozen"
    assert found.history["epoch"].tolist() == [1, 2]
    assert "<svg" in learning_curves(found).body


def test_a_study_without_one_has_none(tmp_path):
    assert read_tuning(tmp_path, {}) is None


def test_one_that_began_with_another_checkpoint_is_refused(written):
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        read_tuning(written[0], {"sha256": "0" * 64})


def test_a_changed_history_or_content_is_refused(written, tmp_path):
    for name, change in {
        "history.tsv": lambda text: text.replace("1\t", "3\t", 1),
        "classifier.json": lambda text: json.dumps({**json.loads(text), "classes": ["x", "y"]}),
    }.items():
        folder = tmp_path / name
        shutil.copytree(written[0], folder)
        path = folder / name
        path.write_text(change(path.read_text()))
        with pytest.raises(InputError, match=r"E_STORE_DAMAGED|E_MODEL_HASH"):
            read_tuning(folder, {})

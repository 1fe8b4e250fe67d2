"""Score demonstration checkpoints against the same network untrained, and make the card of the chosen one.

    python benchmarks/demo_checkpoint.py --counts resources/pbmc3k.h5ad --output resources/demo-checkpoint SEED_FOLDER…

Every folder comes from ``aidocell pretrain --config resources/demo-pretrain.yaml --demonstration``. The one with
the lowest validation loss is copied to the output; the scores that go into its card have no say in that. All
cells pass at full length.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path
from statistics import median

import anndata as ad
import numpy as np
import torch

from aidocell.baselines import METHODS
from aidocell.counts import read_counts
from aidocell.counts.align import align
from aidocell.counts.celltable import CellTable
from aidocell.counts.subset import choose_cells
from aidocell.evaluate.metrics import summary_metrics
from aidocell.evaluate.splits import assign_folds
from aidocell.files import write_json
from aidocell.model import AidoCell, load_model, preprocess, random_network

CELLS, LABEL, FOLDS, SEED = 216, "cell_type", 5, 0
POOLINGS = {"mean": lambda genes: genes.mean(0), "max": lambda genes: genes.amax(0)}
ABOUT = {
    "description": "A small model trained for minutes on the demo's own cells; for demonstration only.",
    "license": "Apache-2.0; trained on data of 10x Genomics, CC BY 4.0",
}
BASELINES = {"pca": "pca-logistic", "genes": "genes-logistic"}

logger = logging.getLogger("demo_checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cells = _cells(options.counts)
    models = {folder: load_model(folder) for folder in options.checkpoints}
    cards = {folder: model.checkpoint.card for folder, model in models.items()}
    scores = [_scores_of_seed(cells, models[f], cards[f]["seed"]) for f in options.checkpoints]
    chosen = min(options.checkpoints, key=lambda folder: cards[folder]["validation_loss"])
    card = {**cards[chosen], **ABOUT, **_summary(cells, scores, list(cards.values()))}
    options.output.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "pytorch_model.bin", "history.tsv", "pretraining_loss.svg"):
        shutil.copyfile(chosen / name, options.output / name)
    write_json(options.output / "card.json", card)


def _cells(path: Path) -> ad.AnnData:
    """The cells of the demo: as many of every type as there are, up to an equal share."""
    adata = read_counts(path)
    every = np.ones(adata.n_obs, bool)
    table = CellTable.of(adata.obs)
    chosen = choose_cells(table, every, number=CELLS, balance=LABEL, seed=SEED)
    return align(adata[chosen].copy())


def _scores_of_seed(cells: ad.AnnData, trained: AidoCell, seed: int) -> dict:
    untrained = random_network(trained.config, seed=seed).eval()
    scores = {
        "untrained": _scores_of_model(cells, untrained),
        "trained": _scores_of_model(cells, trained),
    }
    logger.info("seed %d: %s", seed, scores)
    return scores


@torch.inference_mode()
def _scores_of_model(cells: ad.AnnData, model: AidoCell) -> dict[str, float]:
    pooled = {name: [] for name in POOLINGS}
    for row in cells.X:
        genes = model(preprocess(row.toarray()))[0, :-2]
        for name, reduce in POOLINGS.items():
            pooled[name].append(reduce(genes).numpy())
    return {name: _macro_f1(cells, np.array(rows), "logistic") for name, rows in pooled.items()}


def _macro_f1(cells: ad.AnnData, X, method: str) -> float:
    """Of the pooled out-of-fold predictions in stratified cross-validation."""
    module, labels = METHODS[method].module, cells.obs[LABEL].to_numpy(str)
    fold, _ = assign_folds(labels, cells.obs_names, folds=FOLDS, seed=SEED)
    predicted = np.empty_like(labels)
    for number in range(1, FOLDS + 1):
        test = fold == number
        fitted = module.fit(X[~test], labels[~test], seed=SEED)
        predicted[test] = fitted.classes_[module.predict_proba(fitted, X[test]).argmax(1)]
    table = summary_metrics(labels, predicted, seed=SEED, draws=1).set_index("metric")
    return round(float(table.loc["macro_f1", "value"]), 4)


def _summary(cells: ad.AnnData, scores: list[dict], cards: list[dict]) -> dict:
    medians = {
        kind: {name: median(seed[kind][name] for seed in scores) for name in POOLINGS}
        for kind in ("untrained", "trained")
    }
    return {
        "cells": cells.n_obs,
        "label": LABEL,
        "classifier": "standardise, logistic regression, 5-fold stratified cross-validation, macro-F1",
        **medians,  # of the seeds
        "seeds": [
            {"seed": card["seed"], "validation_loss": card["validation_loss"], **score}
            for card, score in zip(cards, scores, strict=True)
        ],
        "baselines": {
            name: _macro_f1(cells, cells.X, method) for name, method in BASELINES.items()
        },
    }


if __name__ == "__main__":
    main()

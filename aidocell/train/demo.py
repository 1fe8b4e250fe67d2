"""Train the demonstration checkpoint: a small model on the demo's own cells, in minutes, on one thread.

    python -m aidocell.train.demo --counts resources/pbmc3k.h5ad --output resources/demo-checkpoint --seed 0

The official weights may not be shipped, so the demo runs on this. A step takes some cells and, of each,
a random sample of the most variable genes with both depth tokens; part of the genes is masked, and the
model predicts them. Cells that were set apart give the validation loss by which a seed is chosen.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aidocell.counts import read_counts
from aidocell.counts.align import align
from aidocell.model import AidoCell, ModelConfig, preprocess, random_network, save_checkpoint
from aidocell.model.network import MASKED

__all__ = ["CONFIG", "Recipe", "Samples", "pretrain", "split_cells", "validation_loss"]

logger = logging.getLogger(__name__)

CONFIG = ModelConfig(
    num_hidden_layers=1,
    hidden_size=64,
    num_attention_heads=2,
    intermediate_size=160,
    max_position_embeddings=19264,
    bin_num=100,
    bin_alpha=1.0,
    layer_norm_eps=1e-5,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the checkpoint is trained.

    Attributes
    ----------
    steps, warmup
        Optimiser steps, and how many of them the rate rises; then it falls along a cosine to `floor` of its peak.
    cells, genes
        Cells a step, and genes a cell, drawn from the `variable` genes with the largest variance.
    masked
        Share of a cell's drawn genes that is hidden from the model.
    rate, position_rate
        Peak rates, of all weights and of the position table.
    held_out
        Cells set apart for validation.
    """

    steps: int = 1300
    warmup: int = 50
    floor: float = 0.05
    cells: int = 16
    genes: int = 512
    variable: int = 1000
    masked: float = 0.3
    rate: float = 6e-3
    position_rate: float = 18e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    held_out: int = 270


@dataclass(frozen=True)
class Samples:
    """Masked samples of genes: what the model sees, where, and what it should say.

    Attributes
    ----------
    values, positions
        Shape ``(cells, genes + 2)``: input with masked genes at −1, and rows of the position table.
    masked
        Boolean, same shape: which entries count.
    target
        Same shape: the input before masking.
    """

    values: Tensor
    positions: Tensor
    masked: Tensor
    target: Tensor

    @classmethod
    def draw(
        cls, cells: Tensor, genes: Tensor, recipe: Recipe, generator: torch.Generator
    ) -> Samples:
        """Draw genes for each of `cells` (input values over all positions) and mask some of them."""
        order = torch.rand(len(cells), len(genes), generator=generator).argsort(1)
        drawn = genes[order[:, : recipe.genes]]
        depth = torch.arange(cells.shape[1] - 2, cells.shape[1]).expand(len(cells), 2)
        positions = torch.cat([drawn, depth], dim=1)
        target = cells.gather(1, positions)
        # The drawn order is random already, so the first genes are as good as any to mask.
        masked = (torch.arange(positions.shape[1]) < recipe.masked * drawn.shape[1]).expand_as(
            target
        )
        return cls(target.masked_fill(masked, MASKED), positions, masked, target)

    def loss(self, model: AidoCell) -> Tensor:
        """Mean squared error at the masked genes, zeros and non-zeros alike."""
        hidden = model.bert(self.values, self.positions, model.attention)
        predicted = model.expression_head(hidden)
        return functional.mse_loss(predicted[self.masked], self.target[self.masked])


def split_cells(n_cells: int, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Cells to train on and cells set apart; the same split for every seed, so that losses compare."""
    order = np.random.default_rng(0).permutation(n_cells)
    return np.sort(order[recipe.held_out :]), np.sort(order[: recipe.held_out])


def pretrain(values: np.ndarray, recipe: Recipe, *, seed: int) -> tuple[AidoCell, float]:
    """Train on `values` and give the model and its validation loss.

    Parameters
    ----------
    values
        What `preprocess` gives for all cells, shape ``(cells, genes + 2)``.
    recipe
        How.
    seed
        Of the initial weights and of every draw.
    """
    train, held_out = (torch.from_numpy(values[rows]) for rows in split_cells(len(values), recipe))
    genes = train[:, :-2].var(0).argsort(descending=True, stable=True)[: recipe.variable]
    model = random_network(CONFIG, seed=seed)
    optimizer, schedule = _optimizer(model, recipe)
    generator = torch.Generator().manual_seed(seed)
    for step in range(recipe.steps):
        rows = torch.randint(len(train), (recipe.cells,), generator=generator)
        loss = Samples.draw(train[rows], genes, recipe, generator).loss(model)
        _update(model, optimizer, loss, recipe.clip)
        schedule.step()
        if step % 100 == 99:
            logger.info("seed %d, step %d: loss %.4f", seed, step + 1, loss.item())
    return model.eval(), validation_loss(model, held_out, genes, recipe)


def _optimizer(
    model: AidoCell, recipe: Recipe
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    table = model.bert.position_embedding.weight
    others = [weight for weight in model.parameters() if weight is not table]
    optimizer = torch.optim.AdamW(
        [{"params": others}, {"params": [table], "lr": recipe.position_rate}],
        lr=recipe.rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _share(s, recipe))


def _share(step: int, recipe: Recipe) -> float:
    """Share of the peak rate at `step`: linear warm-up, then a cosine down to the floor."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    return recipe.floor + (1 - recipe.floor) * (1 + math.cos(math.pi * done)) / 2


def _update(model: AidoCell, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()


@torch.no_grad()
def validation_loss(model: AidoCell, cells: Tensor, genes: Tensor, recipe: Recipe) -> float:
    """Mean loss over cells that were not trained on, with draws that are the same for every model."""
    generator = torch.Generator().manual_seed(0)
    batches = cells.split(recipe.cells)
    losses = [Samples.draw(batch, genes, recipe, generator).loss(model) for batch in batches]
    weights = [len(batch) for batch in batches]
    return float(np.average([loss.item() for loss in losses], weights=weights))


def main(arguments: list[str] | None = None) -> None:
    """Train one seed and write its checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=Path, required=True, help="raw counts to train on")
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # sums in another order would give other weights
    torch.use_deterministic_algorithms(True)
    recipe = Recipe()
    model, loss = pretrain(_read_values(options.counts), recipe, seed=options.seed)
    save_checkpoint(options.output, model, card=_card(options, recipe, loss))
    logger.info("seed %d: validation loss %.4f", options.seed, loss)


def _read_values(path: Path) -> np.ndarray:
    aligned = align(read_counts(path))
    return preprocess(aligned.X.toarray())


def _card(options: argparse.Namespace, recipe: Recipe, loss: float) -> dict:
    return {
        "name": "aidocell-demo",
        "demonstration": True,
        "description": "A small model trained for minutes on the demo's own cells; for demonstration only.",
        "license": "Apache-2.0; trained on data of 10x Genomics, CC BY 4.0",
        "trained_on": options.counts.name,
        "seed": options.seed,
        "recipe": asdict(recipe),
        "validation_loss": loss,
    }


if __name__ == "__main__":
    main()

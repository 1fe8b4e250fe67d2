"""Measure the peak memory and the time of fine-tuning steps on a GPU, beside the figures on paper.

    python benchmarks/finetune_memory.py [--shapes 3M,10M,100M] [--batch-sizes 1,4,16] [--output FILE.tsv]

Weights are random, since neither memory nor time depends on them. Each case is one row: what
`aidocell.train.memory` works out, what PyTorch allocated at the peak of its third step, and the
cells of a second. A case that does not fit says so.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import pandas as pd
import torch
from torch.nn import functional

from aidocell.model import ModelConfig, random_network
from aidocell.train.fabric import new_fabric
from aidocell.train.memory import peak_memory
from aidocell.train.modes import prepare
from aidocell.train.optimiser import Schedule, new_optimiser
from aidocell.train.options import FinetuneOptions

SHAPES = {"3M": (6, 128, 4, 320), "10M": (8, 256, 8, 640), "100M": (18, 640, 20, 1664)}
CLASSES, STEPS = 11, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", default="3M,10M,100M")
    parser.add_argument("--batch-sizes", default="1,4,16")
    parser.add_argument("--modes", default="full,last,lora")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    given = parser.parse_args()
    cases = itertools.product(
        given.shapes.split(","),
        given.modes.split(","),
        map(int, given.batch_sizes.split(",")),
        (False, True),
    )
    rows = [_measured(*case, given.precision) for case in cases]
    table = pd.DataFrame(rows)
    print(f"{torch.cuda.get_device_name()}, {given.precision}, torch {torch.__version__}")
    print(table.to_string(index=False))
    if given.output:
        table.to_csv(given.output, sep="\t", index=False)


def _measured(shape: str, mode: str, batch_size: int, recompute: bool, precision: str) -> dict:
    options = FinetuneOptions(
        mode=mode, batch_size=batch_size, activation_checkpointing=recompute, device="cuda"
    )
    config = _config(shape)
    row = {
        "shape": shape,
        "mode": mode,
        "batch_size": batch_size,
        "activation_checkpointing": recompute,
        "paper_gib": peak_memory(config, options, precision=precision).total / 2**30,
    }
    try:
        seconds = _steps(config, options, precision)
    except torch.cuda.OutOfMemoryError:
        return {**row, "measured_gib": None, "cells_per_second": None}
    peak = torch.cuda.max_memory_allocated() / 2**30
    return {**row, "measured_gib": peak, "cells_per_second": batch_size / seconds}


def _steps(config: ModelConfig, options: FinetuneOptions, precision: str) -> float:
    """Seconds of the last of a few steps."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    network = prepare(random_network(config, seed=0), CLASSES, options, seed=0)
    schedule = Schedule(peak_rate=1e-4, warmup_share=0, floor_share=0, steps=STEPS)
    optimiser, _ = new_optimiser(network, schedule=schedule, betas=(0.9, 0.95), weight_decay=0.01)
    fabric = new_fabric(device="cuda", precision=precision)
    wrapped, stepper = fabric.setup(network, optimiser)
    values = torch.rand(options.batch_size, config.n_positions, device=fabric.device) * 3
    codes = torch.arange(options.batch_size, device=fabric.device) % CLASSES
    for _ in range(STEPS):
        torch.cuda.synchronize()
        began = time.monotonic()
        stepper.zero_grad()
        fabric.backward(functional.cross_entropy(wrapped(values), codes))
        stepper.step()
        torch.cuda.synchronize()
    return time.monotonic() - began


def _config(shape: str) -> ModelConfig:
    layers, hidden, heads, wide = SHAPES[shape]
    return ModelConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=wide,
        max_position_embeddings=19264,
        bin_num=100,
        bin_alpha=1.0,
        layer_norm_eps=1e-5,
    )


if __name__ == "__main__":
    main()

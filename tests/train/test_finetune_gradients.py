"""Gradients of the training path are those of the reference mathematics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small import TINY

from aidocell.model import load_model
from aidocell.train.fabric import new_fabric
from aidocell.train.modes import prepare
from aidocell.train.optimiser import Schedule, new_optimiser


@pytest.fixture(scope="module")
def golden():
    with np.load(TINY / "vectors.npz") as stored:
        return {name: stored[name] for name in stored}


@pytest.mark.parametrize("recompute", [False, True])
def test_a_gradient_step_equals_the_golden_gradients(golden, quick, recompute):
    network = prepare(
        load_model(TINY), 2, quick(activation_checkpointing=recompute), seed=0
    ).backbone
    before = copy.deepcopy(dict(network.named_parameters()))
    schedule = Schedule(peak_rate=1e-3, warmup_share=0, floor_share=0, steps=10)
    optimiser, _ = new_optimiser(network, schedule=schedule, betas=(0.9, 0.95), weight_decay=0.01)
    fabric = new_fabric(device="cpu")
    wrapped, stepper = fabric.setup(network, optimiser)
    fabric.backward((wrapped(golden["masked_input"]) ** 2).sum())
    stepper.step()
    trained = {name: w for name, w in network.named_parameters() if w.requires_grad}
    checked = 0
    for name, weight in trained.items():
        expected = golden.get(f"grad__{name}")
        if expected is None:
            continue
        scale = np.abs(expected).max()
        assert np.abs(weight.grad.numpy() - expected).max() <= 2e-5 * scale
        # AdamW's first step: the rate times the gradient's sign, and the decay
        clear = np.abs(expected) > 1e-3 * scale
        moved = before[name].detach().numpy() * (1 - 1e-3 * 0.01) - 1e-3 * np.sign(expected)
        np.testing.assert_allclose(weight.detach().numpy()[clear], moved[clear], atol=2e-6)
        checked += 1
    assert checked > 5


def test_recomputed_activations_give_the_same_gradients(golden):
    gradients = []
    for recompute in (False, True):
        model = load_model(TINY)
        model.bert.recompute = recompute
        (model(golden["input"]) ** 2).sum().backward()
        gradients.append([w.grad for w in model.bert.parameters() if w.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))

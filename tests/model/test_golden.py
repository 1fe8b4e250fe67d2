"""The arithmetic is that of the original: inputs, every layer, both heads, gradients, poolings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aidocell.model import preprocess

BACKENDS = ["sdpa", "reference"]


def assert_near(found, expected, tolerance):
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance


def test_counts_become_the_models_input(golden):
    values = preprocess(golden["counts"])
    assert values.dtype == np.float32
    assert_near(values, golden["input"], 2e-6)


def test_depth_is_held_between_5_and_20(golden):
    filled = golden["edge_counts"].sum(1) > 0
    assert not filled[0]
    assert filled[1:].all()
    assert_near(preprocess(golden["edge_counts"][1:]), golden["edge_input"][1:], 2e-6)


@pytest.mark.parametrize("name", ["", "masked_"])
def test_gene_embedding_with_masked_and_padded_genes(model, golden, name):
    values = torch.from_numpy(golden[f"{name}input"])
    assert_near(model.bert.gene_embedding(values), golden[f"{name}gene_embed"], 5e-6)


@pytest.mark.parametrize("attention", BACKENDS)
def test_every_layer(model, golden, attention):
    model.attention = attention
    states = list(model.hidden_states(golden["input"]))
    assert len(states) == 3
    for layer, tolerance in enumerate([5e-6, 2e-4, 2e-4]):
        assert_near(states[layer], golden[f"hidden_{layer}"], tolerance)


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("name", ["", "masked_"])
def test_last_hidden_state_and_predicted_expression(model, golden, attention, name):
    model.attention = attention
    values = golden[f"{name}input"]
    assert_near(model(values), golden[f"{name}last_hidden"], 1e-4)
    assert_near(model.predict_expression(values), golden[f"{name}mlm"], 1e-4)


def test_pooled_hidden_states(model, golden):
    hidden = model(golden["input"])
    genes, present = hidden[:, :-2], torch.from_numpy(golden["present"])
    kept = torch.cat([present, torch.ones(2, dtype=torch.bool)])
    assert_near(genes.mean(1), golden["pooled_genes_mean"], 1e-5)
    assert_near(genes.amax(1), golden["pooled_genes_max"], 3e-5)
    assert_near(hidden[:, kept].mean(1), golden["pooled_present"], 1e-5)


@pytest.mark.parametrize("attention", BACKENDS)
def test_float64_agrees_to_ten_digits(model, golden, attention):
    model.double().attention = attention
    values = golden["input"].astype(np.float64)
    hidden = model(values)
    assert hidden.dtype == torch.float64
    assert_near(hidden[golden["f64_cells"]], golden["f64_last_hidden"], 1e-10)
    assert_near(model.predict_expression(values), golden["f64_mlm"], 1e-10)
    assert_near(hidden[:, :-2].mean(1), golden["f64_pooled_genes_mean"], 1e-10)
    assert_near(hidden[:, :-2].amax(1), golden["f64_pooled_genes_max"], 1e-10)


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize(
    ("prefix", "forward"), [("grad", "__call__"), ("gradmlm", "predict_expression")]
)
def test_gradients(model, golden, attention, prefix, forward):
    model.attention = attention
    loss = (getattr(model, forward)(golden["masked_input"]) ** 2).sum()
    loss.backward()
    assert loss.item() == pytest.approx(golden[f"{prefix}_loss"], rel=1e-5)
    weights = dict(model.named_parameters())
    names = [key.split("__", 1)[1] for key in golden if key.startswith(f"{prefix}__")]
    assert names
    for name in names:
        expected = golden[f"{prefix}__{name}"]
        own = name.replace("cls.predictions.bias", "cls.predictions.decoder.bias")
        assert_near(weights[own].grad, expected, 2e-5 * np.abs(expected).max())

"""Sizes, shapes and precisions of the network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from aidocell.errors import InputError
from aidocell.model import (
    AidoCell,
    ModelConfig,
    load_model,
    preprocess,
    random_network,
    save_checkpoint,
)

# layers, hidden, heads, intermediate, parameters in millions
SIZES = {
    "3M": (6, 128, 4, 320, 3.64),
    "10M": (8, 256, 8, 640, 11.07),
    "100M": (18, 640, 20, 1664, 99.86),
    "650M": (32, 1280, 20, 3392, None),
}


def official(size):
    layers, hidden, heads, intermediate, _ = SIZES[size]
    return ModelConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=19264,
        bin_num=100,
        bin_alpha=1.0,
        layer_norm_eps=1e-5,
    )


@pytest.mark.parametrize("size", ["3M", "10M", "100M"])
def test_official_sizes_load_from_the_official_file_form(size, tmp_path):
    written = random_network(official(size), seed=1)
    save_checkpoint(tmp_path, written)
    read = load_model(tmp_path)
    assert read.genes.is_builtin
    millions = sum(weight.numel() for weight in read.parameters()) / 1e6
    assert round(millions, 2) == SIZES[size][-1]
    for (name, weight), (_, same) in zip(
        written.state_dict().items(), read.state_dict().items(), strict=True
    ):
        assert torch.equal(weight, same), name
    (tmp_path / "pytorch_model.bin").unlink()  # pytest keeps folders of three runs


def test_a_cell_passes_at_full_length_and_backends_agree_on_it():
    small = dataclasses.replace(
        official("3M"), num_hidden_layers=1, num_attention_heads=2, hidden_size=64
    )
    model = random_network(small, seed=1)
    values = preprocess(np.random.default_rng(0).poisson(0.2, (1, 19264)))
    with torch.inference_mode():
        hidden = model(values)
        assert hidden.shape == (1, 19266, 64)
        model.attention = "reference"
        torch.testing.assert_close(model(values), hidden, rtol=0, atol=1e-4)


def test_a_head_width_of_64_passes_on_the_meta_device():
    with torch.device("meta"):
        model = AidoCell(official("650M"))
        values = torch.empty(1, 19266)
    assert model.config.head_width == 64
    assert model(values).shape == (1, 19266, 1280)
    assert model.predict_expression(values).shape == (1, 19266)


def test_values_of_another_length_are_refused(model, golden):
    with pytest.raises(InputError, match=r"E_MATRIX_SHAPE.*\(6, 256\).*258"):
        model(golden["counts"])


def test_bfloat16_autocast_stays_near_float32_and_keeps_masks(model, golden):
    exact = model(golden["masked_input"])
    with torch.autocast("cpu", torch.bfloat16):
        embedded = model.bert.gene_embedding(torch.from_numpy(golden["masked_input"]))
        hidden = model(golden["masked_input"])
    np.testing.assert_array_equal(
        embedded.detach().numpy(),
        model.bert.gene_embedding(torch.from_numpy(golden["masked_input"])).detach().numpy(),
    )
    assert 0 < (hidden.float() - exact).abs().max() < 0.5


def test_gene_order_matters_and_positions_are_the_tables_rows(model, golden):
    """A sample of positions, named by their rows, is embedded as the whole is."""
    values = torch.from_numpy(golden["input"])
    rows = torch.tensor([[5, 200, 256, 257]]).expand(len(values), 4)
    torch.testing.assert_close(
        model.bert.embed(values.gather(1, rows), rows), model.bert.embed(values)[:, rows[0]]
    )


def test_every_position_sees_every_other(model, golden):
    """Also padded and masked ones: changing the last gene moves the first, and the other way round."""
    values = torch.from_numpy(golden["masked_input"]).requires_grad_()
    model(values)[:, 0].sum().backward()
    assert values.grad[:, -1].abs().min() > 0

"""A config.json is taken as it stands or refused, with the name of the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aidocell.errors import InputError
from aidocell.model import ModelConfig
from aidocell.model.config import FIXED

TINY = Path(__file__).parents[1] / "data" / "tiny"
FIELDS = json.loads((TINY / "config.json").read_text())


def refused(fields):
    with pytest.raises(InputError) as caught:
        ModelConfig.from_fields(fields)
    assert caught.value.id == "E_MODEL_CONFIG"
    return str(caught.value)


def test_an_official_config_is_read():
    config = ModelConfig.read(TINY / "config.json")
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 64, 2)
    assert (config.n_genes, config.n_positions, config.head_width) == (256, 258, 32)


@pytest.mark.parametrize("name", [*FIXED, *ModelConfig.__dataclass_fields__])
def test_a_missing_field_is_named(name):
    fields = {key: value for key, value in FIELDS.items() if key != name}
    assert name in refused(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_act", "gelu"),
        ("normalization_type", "RMSNorm"),
        ("add_linear_bias", True),
        ("add_linear_bias", 0),
        ("position_embedding_type", "rope"),
        ("pad_token_id", 0),
        ("mask_token_id", -3),
        ("hidden_dropout_prob", 0.1),
        ("attention_probs_dropout_prob", 0.1),
        ("hidden_dropout_prob", False),
        ("model_type", "bert"),
        ("num_hidden_layers", 0),
        ("num_hidden_layers", True),
        ("num_hidden_layers", 2.0),
        ("hidden_size", 10**12),
        ("hidden_size", "64"),
        ("intermediate_size", None),
        ("max_position_embeddings", -256),
        ("layer_norm_eps", 0),
        ("layer_norm_eps", float("nan")),
        ("bin_alpha", float("inf")),
    ],
)
def test_an_unsupported_value_is_named_with_its_field(name, value):
    message = refused({**FIELDS, name: value})
    assert name in message
    assert repr(value) in message


def test_a_hidden_size_that_the_heads_do_not_divide_is_refused():
    assert "hidden_size 650" in refused({**FIELDS, "hidden_size": 650, "num_attention_heads": 20})


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "\xff", pytest.param("[" * 100_000, id="deep")]
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"E_MODEL_CONFIG.*config\.json"):
        ModelConfig.read(path)


def test_written_fields_read_back_as_the_same_config():
    config = ModelConfig.from_fields(FIELDS)
    assert ModelConfig.from_fields(json.loads(json.dumps(config.to_fields()))) == config

"""The recipe of pre-training: the model card's by default, and every key is checked."""

from __future__ import annotations

import pytest
import yaml
from pretraining import GENES, NETWORK
from small import ROOT

from aidocell.errors import InputError
from aidocell.model import ModelConfig
from aidocell.train.optimiser import Schedule
from aidocell.train.pretrain_options import (
    SHAPES,
    PretrainOptions,
    new_network,
    read_recipe,
)


def written(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_model_cards():
    recipe = PretrainOptions()
    assert (recipe.steps, recipe.rate, recipe.warmup_share) == (150_000, 3e-4, 0.05)
    assert (recipe.beta1, recipe.beta2, recipe.weight_decay) == (0.9, 0.95, 0.01)
    assert (recipe.masked_share, recipe.thinned_share) == (0.3, 0.5)
    assert (recipe.thinning_alpha, recipe.thinning_beta) == (2.0, 2.0)
    schedule = Schedule(
        peak_rate=recipe.rate,
        warmup_share=recipe.warmup_share,
        floor_share=recipe.floor_share,
        steps=recipe.steps,
    )
    assert schedule.warmup == 7500
    assert schedule.rate(150_000) == 0


def test_what_is_given_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = written(tmp_path, "steps: 20\nrate: 1.0e-3\nseed: 4\n")
    recipe = read_recipe(path, steps=30, seed=None)
    assert (recipe.options.steps, recipe.options.rate, recipe.seed) == (30, 1e-3, 4)
    assert recipe.options.beta2 == 0.95


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stepps: 3", "unknown key 'stepps'; write 'steps'"),
        ("steps: 0", "at least 1"),
        ("steps: 1.5", "a whole number"),
        ("masked_share: 1.2", "at most 1"),
        ("masked_share: 0", "mask some genes"),
        ("rate: 0", "more than 0"),
        ("rate: .nan", "a number"),
        ("device: tpu", "one of auto, cpu, cuda"),
        ("genes_per_cell: 9\nvariable_genes: 8", "above variable_genes"),
        ("name: ../up", "name"),
        ("- 1", "no keys"),
        ("a: [", "no YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, text, told):
    with pytest.raises(InputError, match="E_CONFIG") as refused:
        read_recipe(written(tmp_path, text))
    assert told in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"E_FILE_MISSING.*absent\.yaml"):
        read_recipe(tmp_path / "absent.yaml")


@pytest.mark.parametrize(("name", "millions"), [("3M", 3.64), ("10M", 11.07), ("100M", 99.86)])
def test_a_named_shape_has_the_released_number_of_parameters(name, millions):
    import torch

    from aidocell.model import AidoCell
    from aidocell.model.config import FIXED
    from aidocell.train.pretrain_options import _RELEASED

    fields = {**FIXED, **_RELEASED, **SHAPES[name], "max_position_embeddings": 19264}
    with torch.device("meta"):
        network = AidoCell(ModelConfig.from_fields(fields))
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 2) == millions


def test_a_new_network_has_the_asked_genes_and_the_weights_of_its_seed():
    first, again, other = (new_network(NETWORK, seed=seed) for seed in (1, 1, 2))
    assert first.genes == GENES
    name = "bert.position_embedding.weight"
    weights = [network.state_dict()[name] for network in (first, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("4M", "there is no shape '4M'; give one of 3M, 10M, 100M"),
        ({**NETWORK, "layers": 2}, "unknown key 'network.layers'"),
        ({"hidden_size": 16}, "num_hidden_layers"),
        ({**NETWORK, "hidden_size": 15}, "not a multiple"),
        ({**NETWORK, "genes": ["a"]}, "the path of a genes.tsv"),
        ({**NETWORK, "genes": "absent.tsv"}, "absent.tsv"),
    ],
)
def test_a_network_of_another_kind_is_refused(network, told):
    with pytest.raises(InputError) as refused:
        new_network(network, seed=0)
    assert told in str(refused.value)


def test_the_demonstrations_recipe_is_valid():
    recipe = read_recipe(ROOT / "resources/demo-pretrain.yaml")
    assert set(yaml.safe_load((ROOT / "resources/demo-pretrain.yaml").read_text())) >= {"seed"}
    assert recipe.name == "aidocell-demo"

"""The shipped demonstration checkpoint is what its card and its recipe say."""

from __future__ import annotations

from small import ROOT

from aidocell.model import load_model
from aidocell.train.pretrain_options import new_network, read_recipe

SHIPPED = ROOT / "resources" / "demo-checkpoint"


def test_it_has_the_shape_of_its_recipe_and_calls_itself_a_demonstration():
    model = load_model(SHIPPED)
    recipe = read_recipe(ROOT / "resources" / "demo-pretrain.yaml")
    assert model.config == new_network(recipe.network, seed=0).config
    assert model.genes.is_builtin
    assert (model.checkpoint.id, model.checkpoint.demonstration) == (recipe.name, True)


def test_it_was_chosen_by_validation_loss_and_beats_its_untrained_self():
    card = load_model(SHIPPED).checkpoint.card
    assert card["validation_loss"] == min(seed["validation_loss"] for seed in card["seeds"])
    for pooling in ("mean", "max"):
        assert card["trained"][pooling] >= card["untrained"][pooling] + 0.1

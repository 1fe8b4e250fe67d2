"""Fine-tuning: what each mode trains, and that shortcuts change no result."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small import make_cells
from torch.nn import functional

from aidocell.embedding import embed
from aidocell.errors import InputError
from aidocell.model import AidoCell, preprocess
from aidocell.train.fabric import new_fabric
from aidocell.train.finetune import finetune
from aidocell.train.finetune_cells import Cells
from aidocell.train.finetune_loop import train
from aidocell.train.heads import WIDTH, new_head
from aidocell.train.modes import prepare
from aidocell.train.options import FinetuneOptions
from aidocell.train.readers import counts_reader, pooled_cells


def weights(tuned):
    return {name: w.detach().clone() for name, w in tuned.network.state_dict().items()}


def assert_same_weights(first, second, atol=0.0):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=0, atol=atol, err_msg=name)


def accuracy(tuned, counts, labels):
    return (tuned.classes_[tuned.predict_proba(counts).argmax(1)] == labels).mean()


def test_a_tiny_set_is_learned_to_the_last_cell(model, cells, quick):
    tuned = finetune(*cells, model=model, options=quick(epochs=6, validation_share=0))
    assert accuracy(tuned, *cells) == 1.0


def test_separable_kinds_are_told_apart_on_new_cells(model, cells, quick):
    new = make_cells(30, seed=1)
    tuned = finetune(*cells, model=model, options=quick(epochs=6))
    assert accuracy(tuned, new.X, new.obs["cell_type"].to_numpy(object)) > 0.9


def test_shuffled_labels_give_chance(model, quick):
    adata = make_cells(120)
    labels = np.random.default_rng(0).permutation(np.array(["a", "b"] * 60, dtype=object))
    options = quick(mode="frozen", rate=0.01, epochs=20, validation_share=0)
    tuned = finetune(adata.X[:60], labels[:60], model=model, options=options)
    assert 0.3 < accuracy(tuned, adata.X[60:], labels[60:]) < 0.7


def test_the_defaults_are_the_frameworks_example_recipe():
    options = FinetuneOptions()
    assert (options.mode, options.pooling, options.head) == ("full", "max", "linear")
    assert (options.rate, options.weight_decay, options.betas) == (1e-3, 0.01, (0.9, 0.95))
    assert (options.warmup_share, options.batch_size, options.epochs) == (0.01, 16, 10)
    assert not options.class_weights


def test_the_order_of_the_cells_changes_nothing(model, cells, quick):
    counts, labels = cells
    donors = np.array([f"d{i % 4}" for i in range(len(labels))], dtype=object)
    shuffled = np.random.default_rng(3).permutation(len(labels))
    first = finetune(counts, labels, model=model, options=quick(), groups=donors)
    second = finetune(
        counts[shuffled], labels[shuffled], model=model, options=quick(), groups=donors[shuffled]
    )
    assert_same_weights(weights(first), weights(second))


def test_a_seed_gives_the_same_weights_and_another_seed_others(model, cells, quick):
    one, again, other = (
        finetune(*cells, model=model, options=quick(epochs=1), seed=seed) for seed in (1, 1, 2)
    )
    assert_same_weights(weights(one), weights(again))
    assert not torch.equal(one.network.head.weight, other.network.head.weight)


def test_the_model_that_is_given_stays_as_it_is(model, cells, quick):
    before = copy.deepcopy(model.state_dict())
    finetune(*cells, model=model, options=quick(epochs=1))
    assert all(torch.equal(before[name], w) for name, w in model.state_dict().items())


@pytest.mark.parametrize(
    ("mode", "trained"),
    [
        ("full", {"bert.gene_embedding.linear1.weight", "bert.position_embedding.weight"}),
        ("last", {"bert.encoder.layer.1.mlp.up_proj.weight", "bert.encoder.ln.weight"}),
        ("lora", {f"bert.encoder.layer.{n}.attention.self.value.weight" for n in (0, 1)}),
        ("frozen", set()),
    ],
)
def test_each_mode_trains_its_weights_and_no_others(model, cells, quick, mode, trained):
    tuned = finetune(*cells, model=model, options=quick(mode=mode, epochs=1))
    after = tuned.network.backbone.state_dict()
    changed = {name for name, w in model.state_dict().items() if not torch.equal(w, after[name])}
    assert after.keys() == model.state_dict().keys()
    assert changed >= trained
    never = ("cls.", "bert.gene_embedding.mask_embedding", "bert.gene_embedding.pad_embedding")
    assert not any(name.startswith(never) for name in changed)
    if mode == "last":
        assert all(".layer.1." in name or "encoder.ln" in name for name in changed)
    if mode == "lora":
        assert all(".attention.self." in name for name in changed)
    if mode == "frozen":
        assert not changed


def test_more_last_layers_than_there_are_is_refused(model, cells, quick):
    with pytest.raises(InputError, match=r"3 last layers.*has 2"):
        finetune(*cells, model=model, options=quick(mode="last", last_layers=3))


def test_lora_at_its_zero_initialisation_equals_the_frozen_model_bit_by_bit(model, cells, quick):
    values = preprocess(torch.from_numpy(cells[0][:5].toarray()))
    frozen, lora = (
        prepare(copy.deepcopy(model), 2, quick(mode=mode), seed=0).eval()
        for mode in ("frozen", "lora")
    )
    assert torch.equal(frozen(values), lora(values))
    trained = [name for name, w in lora.backbone.named_parameters() if w.requires_grad]
    assert len(trained) == 2 * 3 * 2  # layers × (query, key, value) × factors


def test_cells_embedded_once_equal_the_backbone_in_the_loop(model, cells, quick):
    options = quick(mode="frozen", rate=0.01, epochs=4)
    tuned = finetune(*cells, model=model, options=options)
    chosen = Cells.of(*cells, groups=None, validation=None, share=0.2, seed=42)
    network = prepare(copy.deepcopy(model), 2, options, seed=42)
    readers = (counts_reader(chosen.train.counts), counts_reader(chosen.validation.counts))
    course = train(new_fabric(device="cpu"), network, readers, chosen, options, 42, None)
    assert_same_weights(weights(tuned), network.state_dict(), atol=1e-5)
    np.testing.assert_allclose(
        [row["validation_loss"] for row in course.history],
        tuned.history["validation_loss"],
        atol=1e-5,
    )


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_frozen_vectors_are_the_embeddings_of_that_pooling(model, quick, pooling):
    adata = make_cells(10)
    labels = adata.obs["cell_type"].to_numpy(object)
    chosen = Cells.of(adata.X, labels, groups=None, validation=None, share=0, seed=0)
    network = prepare(copy.deepcopy(model), 2, quick(mode="frozen", pooling=pooling), seed=0)
    from aidocell.embedding import resolve_runtime

    vectors, _ = pooled_cells(network, chosen, resolve_runtime(device="cpu"), None)
    expected = embed(copy.deepcopy(model), adata, pooling=pooling, device="cpu")
    np.testing.assert_array_equal(np.sort(vectors, axis=0), np.sort(expected, axis=0))


def test_accumulated_batches_equal_the_large_batch(model, cells, quick):
    large = finetune(*cells, model=model, options=quick(batch_size=12, class_weights=True))
    small = finetune(
        *cells, model=model, options=quick(batch_size=4, accumulate=3, class_weights=True)
    )
    assert_same_weights(weights(large), weights(small), atol=2e-4)
    np.testing.assert_allclose(large.history["train_loss"], small.history["train_loss"], atol=1e-4)


def test_recomputed_activations_give_the_same_weights(model, cells, quick):
    kept, recomputed = (
        finetune(*cells, model=model, options=quick(epochs=1, activation_checkpointing=on))
        for on in (False, True)
    )
    assert_same_weights(weights(kept), weights(recomputed))


def test_the_loss_of_the_first_step_is_pytorchs_weighted_cross_entropy(model, cells, quick):
    counts, labels = cells[0][:9], cells[1][:9]
    assert len(set(np.unique(labels, return_counts=True)[1])) == 2  # not balanced
    options = quick(epochs=1, batch_size=9, class_weights=True, validation_share=0)
    tuned = finetune(counts, labels, model=model, options=options, seed=5)
    network = prepare(copy.deepcopy(model), 2, options, seed=5)
    codes = torch.from_numpy(np.searchsorted(["early", "late"], labels))
    weight = len(codes) / 2 / torch.bincount(codes)
    scores = network(preprocess(torch.from_numpy(counts.toarray())))
    expected = functional.cross_entropy(scores, codes, weight=weight).item()
    assert tuned.history["train_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_the_weights_of_the_best_epoch_are_kept_and_patience_ends_the_training(model, cells, quick):
    counts, labels = cells
    judged = (counts[30:], labels[30:])
    options = quick(epochs=8, patience=2)
    tuned = finetune(counts[:30], labels[:30], model=model, options=options, validation=judged)
    scores = tuned.history["validation_macro_f1"]
    best = tuned.content["validation"]["epoch"]
    assert best == 1 + scores.argmax()
    assert len(tuned.history) == min(best + 2, 8)
    assert tuned.content["validation"]["set_apart"] == "given"
    stopped = finetune(
        counts[:30], labels[:30], model=model, options=quick(epochs=8), validation=judged
    )
    assert_same_weights(weights(tuned), weights(stopped))


def test_without_validation_cells_the_last_epoch_is_kept(model, cells, quick):
    tuned = finetune(*cells, model=model, options=quick(validation_share=0))
    assert tuned.content["validation"]["epoch"] == 2
    assert tuned.content["validation"]["macro_f1"] is None
    assert tuned.content["calibration"] is None


def test_an_mlp_head_is_batch_norm_without_affine_256_wide_and_relu():
    head = new_head("mlp", 64, 3, seed=0)
    assert [name for name, _ in head.named_parameters()] == [
        "1.weight",
        "1.bias",
        "3.weight",
        "3.bias",
    ]
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    normed = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    hidden = functional.relu(normed @ head[1].weight.T + head[1].bias)
    assert hidden.shape == (5, WIDTH)
    torch.testing.assert_close(head(x), hidden @ head[3].weight.T + head[3].bias)
    assert head(x[:1]).shape == (1, 3)  # a batch of one cell has no variance, and is no error


def test_an_mlp_head_learns_too(model, cells, quick):
    tuned = finetune(*cells, model=model, options=quick(head="mlp", epochs=8))
    assert accuracy(tuned, *cells) == 1.0


def test_probabilities_of_a_cell_do_not_depend_on_the_others(model, cells, quick):
    tuned = finetune(*cells, model=model, options=quick(epochs=1))
    together = tuned.predict_proba(cells[0][:6])
    alone = np.concatenate([tuned.predict_proba(cells[0][row]) for row in range(6)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(axis=1), 1)


def test_counts_over_other_genes_are_refused(model, cells, quick):
    genes = list(model.genes.symbols)
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        finetune(cells[0][:, :-1], cells[1], model=model, options=quick())
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        finetune(*cells, model=model, genes=genes[::-1], options=quick())


def test_a_diverging_training_is_an_error_that_names_the_rate(model, cells, quick):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.bert.encoder.ln.weight.fill_(float("inf"))
    with pytest.raises(InputError, match=r"E_NOT_FINITE.*--learning-rate"):
        finetune(*cells, model=broken, options=quick(epochs=1))


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "half"}, {"head": "deep"}, {"epochs": 0}, {"rate": -1}, {"validation_share": 0.9}],
)
def test_options_that_make_no_sense_are_refused(quick, wrong):
    with pytest.raises(InputError, match="E_USAGE"):
        quick(**wrong)


def test_a_bare_network_can_be_tuned(model, cells, quick):
    bare = AidoCell(model.config)
    bare.load_state_dict(model.state_dict())
    tuned = finetune(*cells, model=bare, options=quick(epochs=1))
    assert tuned.content["base"]["id"].startswith("sha256:")

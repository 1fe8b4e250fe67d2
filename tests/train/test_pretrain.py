"""Pre-training learns, and a training that was killed goes on to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pretraining import GENES, NETWORK, make_store, new_tiny_network
from scipy import sparse
from small import TINY, make_cells
from torch.nn.functional import mse_loss

from aidocell.errors import InputError, MachineError
from aidocell.lock import hold
from aidocell.model import load_model
from aidocell.train import pretrain_loop
from aidocell.train.material import Material
from aidocell.train.objective import draw
from aidocell.train.optimiser import Schedule
from aidocell.train.pretrain import STATE, pretrain
from aidocell.train.pretrain_files import pretrain_files
from aidocell.train.pretrain_options import PretrainOptions, Recipe, read_recipe
from aidocell.train.streaming import StoredCells

SHORT = PretrainOptions(
    steps=12,
    batch_size=4,
    rate=3e-3,
    thinning_min_counts=100,
    validation_cells=6,
    validate_every=5,
    block_cells=8,
    blocks=2,
    device="cpu",
)


class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield torch.set_num_threads(1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_store(folder / f"{seed}.zarr.zip", cells, seed=seed)
        for seed, cells in ((1, 25), (2, 15))
    ]


@pytest.fixture(scope="module")
def uninterrupted(stores):
    torch.set_num_threads(1)
    return pretrain(new_tiny_network(), stores, options=SHORT)


def same(first, second):
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return (
        all(torch.equal(ours[name], theirs[name]) for name in ours)
        and first.history.equals(second.history)
        and first.content == second.content
    )


def interrupted(monkeypatch, steps, folder, stores, options):
    """A training that ends right after so many steps, each of them saved."""
    step, done = pretrain_loop._Training._step, []

    def counted(self, drawn):
        if len(done) == steps:
            raise Killed
        done.append(None)
        return step(self, drawn)

    with monkeypatch.context() as patched:
        patched.setattr(pretrain_loop._Training, "_step", counted)
        with pytest.raises(Killed):
            pretrain(new_tiny_network(), stores, options=options, folder=folder)


def test_training_lowers_the_loss_on_cells_set_apart(stores):
    options = replace(SHORT, steps=30, validate_every=10)
    history = pretrain(new_tiny_network(), stores, options=options).history
    assert history["step"].tolist() == [0, 10, 20, 30]
    assert history["epoch"].tolist() == pytest.approx([0, 40 / 34, 80 / 34, 120 / 34])
    assert history["validation_loss"].iloc[-1] < 0.5 * history["validation_loss"].iloc[0]
    assert (np.diff(history["train_loss"].dropna()) < 0).all()


def test_steps_are_those_of_a_plain_loop(stores):
    options = replace(SHORT, steps=4, clip=0.5)
    network = new_tiny_network()
    material = Material.of(StoredCells.of(stores, genes_sha256=GENES.sha256), options)
    stream = material.stream(options, seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    schedule = Schedule(peak_rate=options.rate, warmup_share=0.05, floor_share=0.0, steps=4)
    for step in range(4):
        batch = stream.batch(4 * step, 4)
        keys = [(0, 0, epoch, cell) for epoch, cell in zip(batch.epochs, batch.cells, strict=True)]
        drawn = draw(batch.counts, np.ones((4, 256), bool), keys, options, None)
        samples = drawn.samples(torch.device("cpu"))
        predicted = network.predict_expression(samples.values)
        optimiser.zero_grad()
        mse_loss(predicted[samples.masked], samples.target[samples.masked]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.param_groups[0]["lr"] = schedule.rate(step)
        optimiser.step()
    trained = pretrain(new_tiny_network(), stores, options=options).network.state_dict()
    for name, expected in network.state_dict().items():
        torch.testing.assert_close(trained[name], expected, atol=1e-5, rtol=1e-4, msg=name)


def test_a_seed_gives_the_same_weights_and_the_order_of_files_changes_nothing(
    stores, uninterrupted
):
    assert same(pretrain(new_tiny_network(), stores[::-1], options=SHORT), uninterrupted)
    other = pretrain(new_tiny_network(), stores, options=SHORT, seed=1)
    assert not same(other, uninterrupted)


def test_how_often_work_is_saved_changes_nothing(stores, uninterrupted, tmp_path):
    options = replace(SHORT, save_every=1)
    assert same(
        pretrain(new_tiny_network(), stores, options=options, folder=tmp_path), uninterrupted
    )


def test_batches_that_accumulate_make_the_steps_of_one_large_batch(stores, uninterrupted):
    parts = replace(SHORT, batch_size=2, accumulate=2)
    found = pretrain(new_tiny_network(), stores, options=parts)
    for name, expected in uninterrupted.network.state_dict().items():
        np.testing.assert_allclose(
            found.network.state_dict()[name], expected, atol=2e-4, err_msg=name
        )


def test_two_processes_make_the_steps_of_one(stores, uninterrupted):
    two = pretrain(
        new_tiny_network(), stores, options=replace(SHORT, batch_size=2, devices=2, accumulate=1)
    )
    for name, expected in uninterrupted.network.state_dict().items():
        np.testing.assert_allclose(
            two.network.state_dict()[name], expected, atol=2e-4, err_msg=name
        )
    np.testing.assert_allclose(two.history, uninterrupted.history, atol=1e-4)


def test_genes_are_drawn_from_those_that_vary_most(stores):
    options = replace(SHORT, genes_per_cell=32, variable_genes=64)
    trained = pretrain(new_tiny_network(), stores, options=options)
    before = new_tiny_network().state_dict()["bert.position_embedding.weight"]
    after = trained.network.state_dict()["bert.position_embedding.weight"]
    decay = np.prod([1 - 0.01 * rate for rate in _rates(options)])
    moved = ~torch.isclose(after, before * decay, atol=1e-6).all(1)
    assert moved[:-2].sum() == 64
    assert moved[-2:].all()


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_that_diverges_says_so_also_from_another_process(stores, devices):
    network = new_tiny_network()
    with torch.no_grad():
        network.bert.position_embedding.weight[0, 0] = torch.inf
    options = replace(SHORT, batch_size=4 // devices, devices=devices)
    with pytest.raises(InputError, match=r"E_NOT_FINITE.*diverged"):
        pretrain(network, stores, options=options)


def _rates(options):
    schedule = Schedule(peak_rate=options.rate, warmup_share=0.05, floor_share=0, steps=12)
    return [schedule.rate(step) for step in range(12)]


@pytest.mark.parametrize("steps", [1, 5, 11])
def test_a_resumed_training_has_the_weights_of_an_uninterrupted_one_bit_by_bit(
    stores, uninterrupted, tmp_path, monkeypatch, steps
):
    options = replace(SHORT, save_every=1)
    interrupted(monkeypatch, steps, tmp_path, stores, options)
    resumed = pretrain(new_tiny_network(), stores, options=options, folder=tmp_path, resume=True)
    assert same(resumed, uninterrupted)


def test_a_state_of_other_options_or_cells_or_a_changed_byte_is_refused(
    stores, tmp_path, monkeypatch
):
    options = replace(SHORT, save_every=1)
    interrupted(monkeypatch, 1, tmp_path, stores, options)
    with pytest.raises(InputError, match=r"E_OUTPUT_EXISTS.*unfinished.*--resume"):
        pretrain(new_tiny_network(), stores, options=options, folder=tmp_path)
    for changed in (
        {"options": replace(options, rate=1e-4)},
        {"options": options, "seed": 3},
    ):
        with pytest.raises(InputError, match="E_STORE_MISMATCH"):
            pretrain(new_tiny_network(), stores, folder=tmp_path, resume=True, **changed)
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        pretrain(new_tiny_network(), stores[:1], options=options, folder=tmp_path, resume=True)
    path = tmp_path / STATE
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="E_FILE_DAMAGED"):
        pretrain(new_tiny_network(), stores, options=options, folder=tmp_path, resume=True)


def test_a_checkpoint_without_a_head_is_refused(stores):
    network = new_tiny_network()
    network.cls = None
    with pytest.raises(InputError, match=r"E_MODEL_CONFIG.*head"):
        pretrain(network, stores, options=SHORT)


def test_too_few_cells_to_set_some_apart_are_refused(stores):
    with pytest.raises(InputError, match=r"E_NO_CELLS.*21 of 40"):
        pretrain(new_tiny_network(), stores, options=replace(SHORT, validation_cells=21))


def test_the_state_and_the_network_say_what_was_learned_from(stores, uninterrupted):
    content = uninterrupted.content
    assert (content["cells"], content["cells_set_apart"]) == (40, 6)
    assert len(content["counts_digests"]) == 2
    assert content["base"]["id"] == "random weights"
    assert content["validation_loss"] == uninterrupted.history["validation_loss"].iloc[-1]


# ---------------------------------------------------------------- from files to a folder

MAIN = "from aidocell.cli import main; main()"
RECIPE = Recipe(options=SHORT, network=NETWORK, name="tiny")


@pytest.fixture
def inputs(tmp_path, stores):
    """Two INPUTs: a store, and an .h5ad that has to be aligned first."""
    adata = make_cells(15, seed=2)
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "second.h5ad")
    return [stores[0], tmp_path / "second.h5ad"]


def test_the_output_is_a_checkpoint_with_its_recipe_and_its_loss_curve(inputs, tmp_path):
    output = tmp_path / "made"
    pretrain_files(inputs, output, recipe=RECIPE)
    names = sorted(path.name for path in output.iterdir())
    assert names == [
        "card.json",
        "config.json",
        "genes.tsv",
        "history.tsv",
        "pretraining_loss.svg",
        "pytorch_model.bin",
    ]
    network = load_model(output)
    assert (network.checkpoint.id, network.checkpoint.demonstration) == ("tiny", False)
    assert network.genes == GENES
    history = pd.read_csv(output / "history.tsv", sep="\t")
    card = json.loads((output / "card.json").read_text())
    assert card["validation_loss"] == history["validation_loss"].iloc[-1]
    assert (card["seed"], card["recipe"]["steps"]) == (0, 12)
    assert "<svg" in (output / "pretraining_loss.svg").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_is_gone_on_from_and_stays_a_demonstration(stores, tmp_path):
    recipe = Recipe(options=SHORT)
    begun, went_on = tmp_path / "begun", tmp_path / "went_on"
    pretrain_files(stores, begun, recipe=RECIPE, demonstration=True)
    pretrain_files(stores, went_on, recipe=recipe, model=str(begun))
    first, second = (pd.read_csv(f / "history.tsv", sep="\t") for f in (begun, went_on))
    assert second["validation_loss"].iloc[0] == pytest.approx(
        first["validation_loss"].iloc[-1], rel=1e-5
    )
    info = load_model(went_on).checkpoint
    assert info.demonstration
    assert info.card["base"] == {"id": "tiny", "sha256": load_model(begun).checkpoint.sha256}


def test_neither_or_both_ways_to_begin_are_refused_before_any_work(stores, tmp_path):
    for arguments in (
        {"recipe": Recipe(options=SHORT)},
        {"recipe": RECIPE, "model": str(TINY)},
    ):
        with pytest.raises(InputError, match=r"E_USAGE.*--shape"):
            pretrain_files(stores, tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_refused_input_leaves_nothing(stores, tmp_path):
    with pytest.raises(InputError, match="E_FILE_MISSING"):
        pretrain_files([stores[0], tmp_path / "absent.h5ad"], tmp_path / "out", recipe=RECIPE)
    assert not list(tmp_path.iterdir())


def test_a_second_process_on_one_output_is_refused(stores, tmp_path):
    with hold(tmp_path / ".out.lock"), pytest.raises(MachineError, match="E_LOCKED"):
        pretrain_files(stores, tmp_path / "out", recipe=RECIPE)


def test_the_output_is_replaced_when_asked_and_only_then(stores, tmp_path):
    output = tmp_path / "out"
    pretrain_files(stores, output, recipe=RECIPE)
    before = (output / "pytorch_model.bin").read_bytes()
    with pytest.raises(InputError, match="E_OUTPUT_EXISTS"):
        pretrain_files(stores, output, recipe=RECIPE)
    pretrain_files(stores, output, recipe=replace(RECIPE, seed=1), overwrite=True)
    assert (output / "pytorch_model.bin").read_bytes() != before


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_that_is_killed_outright_goes_on_to_the_same_bytes(inputs, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    keys = {name: getattr(SHORT, name) for name in ("batch_size", "rate", "block_cells", "blocks")}
    recipe.write_text(yaml.safe_dump({**keys, "network": NETWORK, "save_every": 1, "steps": 40}))

    words = ["pretrain", *inputs, "--config", recipe, "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words), "--output", str(killed)],
        env=environment,
        stderr=subprocess.PIPE,
    )
    state, seen = tmp_path / ".killed.partial" / STATE, set()
    while len(seen) < 4:
        assert process.poll() is None, process.stderr.read()
        if state.exists():
            seen.add(state.stat().st_mtime_ns)
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    asked = {"recipe": read_recipe(recipe, device="cpu")}
    with pytest.raises(InputError, match=r"E_OUTPUT_EXISTS.*unfinished work.*--resume"):
        pretrain_files(inputs, killed, **asked)
    pretrain_files(inputs, killed, resume=True, **asked)
    pretrain_files(inputs, whole, **asked)
    assert folder_bytes(killed) == folder_bytes(whole)

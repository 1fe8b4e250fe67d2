"""Loading is strict: what is wrong is named, and nothing of a hostile file is run."""

from __future__ import annotations

import collections
import json
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aidocell.errors import InputError
from aidocell.genes import Vocabulary
from aidocell.model import checkpoint_info, load_model, save_checkpoint

BIASES = ["cls.predictions.decoder.bias", "cls.predictions.bias"]


def tensors_of(folder):
    return torch.load(folder / "pytorch_model.bin", weights_only=True)


def write(folder, tensors):
    torch.save(tensors, folder / "pytorch_model.bin")


def refused(folder, id):
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.id == id
    return str(caught.value)


# what loads


def test_both_forms_of_file_give_the_same_digest_and_the_same_numbers(folder, tiny, golden):
    pickled, safe = load_model(folder), load_model(tiny)
    assert (tiny / "model.safetensors").is_file()
    assert pickled.checkpoint.sha256 == safe.checkpoint.sha256
    assert torch.equal(pickled(golden["input"]), safe(golden["input"]))


def test_safetensors_are_read_where_both_are_there(folder, tiny):
    shutil.copy(tiny / "model.safetensors", folder)
    (folder / "pytorch_model.bin").write_bytes(b"nothing to see")
    assert load_model(folder).checkpoint == checkpoint_info(tiny)


@pytest.mark.parametrize("dropped", BIASES)
def test_either_name_of_the_decoder_bias_is_enough(folder, golden, dropped):
    whole, tensors = load_model(folder), tensors_of(folder)
    del tensors[dropped]
    write(folder, tensors)
    assert load_model(folder).checkpoint.sha256 == whole.checkpoint.sha256


def test_of_two_different_decoder_biases_the_decoders_own_is_used_and_said(folder, golden, caplog):
    whole, tensors = load_model(folder), tensors_of(folder)
    predicted = whole.predict_expression(golden["input"])
    alias = "cls.predictions.bias"
    write(folder, {**tensors, alias: tensors[alias] + 1})
    assert torch.equal(load_model(folder).predict_expression(golden["input"]), predicted)
    assert all(name in caplog.text for name in BIASES)


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_a_base_model_loads_without_its_head_and_says_so_when_asked_for_it(folder, golden, prefix):
    hidden = load_model(folder)(golden["input"])
    base = {n: t for n, t in tensors_of(folder).items() if n.startswith("bert.")}
    write(folder, {prefix + name.removeprefix("bert."): t for name, t in base.items()})
    model = load_model(folder)
    assert torch.equal(model(golden["input"]), hidden)
    with pytest.raises(InputError, match=r"E_MODEL_CONFIG.*no masked-expression head"):
        model.predict_expression(golden["input"])


def test_half_precision_weights_are_widened_and_are_another_checkpoint(folder):
    whole = checkpoint_info(folder)
    write(folder, {name: tensor.half() for name, tensor in tensors_of(folder).items()})
    model = load_model(folder)
    assert model.dtype == torch.float32
    assert model.checkpoint.sha256 != whole.sha256


def test_a_saved_checkpoint_is_in_the_official_form_and_the_same_one(folder, tmp_path):
    model = load_model(folder)
    save_checkpoint(tmp_path / "copy", model)
    shutil.copy(folder / "genes.tsv", tmp_path / "copy")
    official, written = tensors_of(folder), tensors_of(tmp_path / "copy")
    assert official.keys() == written.keys()
    assert all(torch.equal(official[name], written[name]) for name in official)
    assert load_model(tmp_path / "copy").checkpoint.sha256 == model.checkpoint.sha256


def test_a_model_is_ready_to_embed(folder):
    model = load_model(str(folder))
    assert not model.training
    assert len(model.genes) == model.config.n_genes == 256


# identity


def test_a_folder_is_known_by_its_digest_and_never_by_its_path(folder, tmp_path):
    info = checkpoint_info(folder)
    assert info.id == f"sha256:{info.sha256[:12]}"
    assert (info.source, info.revision, info.demonstration) == ("folder", None, False)
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert checkpoint_info(moved) == info


def test_a_card_gives_the_name_and_says_what_is_a_demonstration(folder):
    card = {"name": "some-demo", "demonstration": True, "untrained": {"mean": 0.5}}
    (folder / "card.json").write_text(json.dumps(card))
    info = checkpoint_info(folder)
    assert (info.id, info.demonstration, info.card) == ("some-demo", True, card)


@pytest.mark.parametrize(
    "card",
    [
        "{",
        "[]",
        '{"demonstration": "yes"}',
        '{"name": "genbio-ai/AIDO.Cell-3M"}',
        '{"name": "<b>"}',
    ],
)
def test_a_card_that_cannot_be_trusted_is_refused(folder, card):
    (folder / "card.json").write_text(card)
    assert "card.json" in refused(folder, "E_MODEL_CONFIG")


def test_the_digest_tells_apart_any_change_of_a_weight(folder):
    before, tensors = checkpoint_info(folder).sha256, tensors_of(folder)
    tensors["bert.encoder.ln.bias"][3] += 1e-7
    write(folder, tensors)
    assert checkpoint_info(folder).sha256 != before


# what is refused, by name


def test_a_missing_tensor_is_named(folder):
    tensors = tensors_of(folder)
    del tensors["bert.encoder.layer.1.ln.weight"]
    write(folder, tensors)
    assert "bert.encoder.layer.1.ln.weight" in refused(folder, "E_MODEL_CONFIG")


def test_an_extra_tensor_is_named(folder):
    write(folder, {**tensors_of(folder), "bert.pooler.dense.weight": torch.ones(2)})
    assert "bert.pooler.dense.weight" in refused(folder, "E_MODEL_CONFIG")


def test_a_misshapen_tensor_is_named_with_both_shapes(folder):
    name = "bert.encoder.layer.0.mlp.up_proj.weight"
    write(folder, {**tensors_of(folder), name: torch.ones(64, 160)})
    message = refused(folder, "E_MODEL_CONFIG")
    assert all(part in message for part in [name, "(64, 160)", "(160, 64)"])


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_a_tensor_that_is_not_floating_point_is_named(folder, dtype):
    name = "bert.encoder.ln.weight"
    write(folder, {**tensors_of(folder), name: torch.ones(64, dtype=dtype)})
    assert name in refused(folder, "E_MODEL_CONFIG")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(folder, value):
    tensors = tensors_of(folder)
    tensors["bert.encoder.ln.weight"][5] = value
    write(folder, tensors)
    assert "bert.encoder.ln.weight" in refused(folder, "E_MODEL_CONFIG")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", 3),
        ("num_hidden_layers", 1),
        ("num_hidden_layers", 900_000),
        ("hidden_size", 128),
        ("bin_num", 50),
    ],
)
def test_a_config_of_another_shape_is_refused(folder, field, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    refused(folder, "E_MODEL_CONFIG")


def test_genes_of_another_number_than_positions_are_refused(folder):
    lines = (folder / "genes.tsv").read_text().splitlines(keepends=True)
    (folder / "genes.tsv").write_text("".join(lines[:-1]))
    message = refused(folder, "E_MODEL_CONFIG")
    assert "255" in message
    assert "256" in message


def test_without_genes_of_its_own_a_checkpoint_must_have_the_built_in_ones(folder):
    (folder / "genes.tsv").unlink()
    message = refused(folder, "E_MODEL_CONFIG")
    assert str(len(Vocabulary.builtin())) in message
    assert "built-in" in message


def test_a_config_that_is_no_json_is_refused_through_the_loader(folder):
    (folder / "config.json").write_text("{")
    assert "config.json" in refused(folder, "E_MODEL_CONFIG")


# what is missing


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin"])
def test_a_folder_without_one_of_its_files_says_which(folder, name):
    (folder / name).unlink()
    assert name in refused(folder, "E_MODEL_MISSING")


def test_a_file_that_may_not_be_read_is_named(folder, monkeypatch):
    def forbidden(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", forbidden)
    message = refused(folder, "E_FILE_MISSING")
    assert "config.json" in message
    assert "Permission denied" in message


@pytest.mark.parametrize("name", ["/no/such/folder", "./here", "a/b/c", "word", ""])
def test_a_name_that_is_neither_folder_nor_hub_id_is_missing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="E_MODEL_MISSING"):
        load_model(name)


def test_a_revision_of_a_folder_is_refused(folder):
    with pytest.raises(InputError, match=r"E_USAGE.*revision"):
        load_model(folder, revision="main")


def test_a_gpu_that_is_not_there_is_refused(folder, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"E_USAGE.*GPU"):
        load_model(folder, device="cuda")


# what is unsafe or damaged


class Hostile:
    """Pickles to a call that leaves a trace where it is run."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch", "older torch", "pickle"])
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(folder, tmp_path, form):
    trace = tmp_path / "ran"
    content = {**tensors_of(folder), "extra": Hostile(trace)}
    if form == "torch":
        write(folder, content)
    elif form == "older torch":
        path = folder / "pytorch_model.bin"
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"extra": Hostile(trace)}))
    message = refused(folder, "E_MODEL_UNSAFE")
    assert "mkdir" in message
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"a": torch.ones(1)}},
        {"epoch": 3},
        {"names": ["a", "b"]},
        [torch.ones(1)],
        {3: torch.ones(1)},
        {"when": collections.Counter("ab")},
    ],
)
def test_a_pickle_with_more_than_named_tensors_is_refused(folder, content):
    write(folder, content)
    refused(folder, "E_MODEL_UNSAFE")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_pickle_is_damaged(folder, share):
    path = folder / "pytorch_model.bin"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "pytorch_model.bin" in refused(folder, "E_FILE_DAMAGED")


def test_a_flipped_bit_in_a_pickles_tensors_is_damaged(folder):
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 16
    path.write_bytes(bytes(content))
    assert "checksum" in refused(folder, "E_FILE_DAMAGED")


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"hello", b"version https://git-lfs"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_file_that_holds_no_weights_is_damaged(folder, name, content):
    (folder / name).write_bytes(content)
    assert name in refused(folder, "E_FILE_DAMAGED")


def test_truncated_safetensors_are_damaged(folder):
    save_file(tensors_of(folder), folder / "model.safetensors")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors" in refused(folder, "E_FILE_DAMAGED")


def test_weights_in_pytorchs_older_form_load_and_are_refused_alike(folder, golden):
    tensors, path = tensors_of(folder), folder / "pytorch_model.bin"
    hidden = load_model(folder)(golden["input"])
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_model(folder)(golden["input"]), hidden)
    Path(path).write_bytes(path.read_bytes()[:-1000])
    refused(folder, "E_FILE_DAMAGED")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "older"])
def test_whatever_the_bytes_a_file_loads_as_it_was_or_is_refused(folder, form):
    tensors, path = tensors_of(folder), folder / "pytorch_model.bin"
    torch.save(tensors, path, _use_new_zipfile_serialization=form == "zip")
    original, digest = path.read_bytes(), checkpoint_info(folder).sha256
    for seed in range(80):
        generator = random.Random(seed)
        content = bytearray(original)
        for _ in range(generator.choice([1, 4])):
            content[generator.randrange(6000)] = generator.randrange(256)
        path.write_bytes(bytes(content))
        outcome = outcome_of(folder)
        assert outcome in (digest, "E_FILE_DAMAGED", "E_MODEL_UNSAFE", "E_MODEL_CONFIG") or (
            form == "older"  # which has no checksums
        )


def outcome_of(folder):
    try:
        return checkpoint_info(folder).sha256
    except InputError as error:
        return error.id

"""The folder of a fine-tuned network: read back exactly, and never trusted."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save_file
from small import TINY, make_cells

from aidocell import files
from aidocell.counts.align import align_file
from aidocell.embedding import embed
from aidocell.errors import InputError
from aidocell.genes import vocabulary_of
from aidocell.model import load_model
from aidocell.provenance import run_key
from aidocell.tasks.similarity import distances, whitened_classes
from aidocell.train.finetune import finetune
from aidocell.train.finetune_cells import Cells
from aidocell.train.finetuned import is_finetuned, predict_counts
from aidocell.train.finetuned_folder import load_finetuned, save_finetuned


def tuned_labels(labels):
    return np.where(labels == "early", "=early|<b>", labels).astype(object)


@pytest.fixture(scope="module")
def tuned(model, cells, quick):
    counts, labels = cells
    return finetune(
        counts,
        tuned_labels(labels),
        model=model,
        options=quick(mode="lora", epochs=1),
        distances=True,
    )


@pytest.fixture
def folder(tuned, tmp_path):
    save_finetuned(tuned, tmp_path / "tuned")
    return tmp_path / "tuned"


def rewrite(folder, **changes):
    """Change what classifier.json says, and its checksum with it."""
    content = json.loads((folder / "classifier.json").read_text())
    content.pop("content_sha256")
    content.update(changes)
    content["content_sha256"] = run_key(**content)
    files.write_json(folder / "classifier.json", content)


def replace_file(folder, name, content):
    """Put other bytes into a file of the folder, and record their checksum."""
    (folder / name).write_bytes(content)
    stored = json.loads((folder / "classifier.json").read_text())["files"]
    rewrite(folder, files={**stored, name: files.sha256_file(folder / name)})


def test_a_network_that_is_read_back_says_the_same_to_the_last_bit(tuned, folder, cells):
    again = load_finetuned(folder, device="cpu")
    np.testing.assert_array_equal(again.predict_proba(cells[0]), tuned.predict_proba(cells[0]))
    assert again.classes_.tolist() == tuned.classes_.tolist()
    assert again.content == tuned.content
    np.testing.assert_allclose(again.history, tuned.history)


def test_the_folder_is_a_checkpoint_in_the_official_form(tuned, folder, model):
    loaded = load_model(folder)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert loaded.genes == model.genes
    assert loaded.checkpoint.sha256 != model.checkpoint.sha256
    assert loaded.checkpoint.card["base"]["sha256"] == model.checkpoint.sha256


def test_equal_networks_give_equal_bytes(tuned, folder, tmp_path):
    save_finetuned(tuned, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_an_output_that_is_there_is_replaced_only_when_asked(tuned, folder):
    with pytest.raises(InputError, match="E_OUTPUT_EXISTS"):
        save_finetuned(tuned, folder)
    save_finetuned(tuned, folder, overwrite=True)


def test_distances_are_those_of_classifiers_in_the_networks_own_embeddings(tuned, folder, cells):
    counts, labels = cells
    adata = make_cells(40)
    again = load_finetuned(folder, device="cpu")
    own = embed(again.network.backbone, adata, pooling="max", device="cpu")
    np.testing.assert_array_equal(again.pooled(counts), own)
    chosen = Cells.of(
        counts, tuned_labels(labels), groups=None, validation=None, share=0.2, seed=42
    )
    arrays = whitened_classes(again.pooled(chosen.train.counts), chosen.train.codes)
    held = distances(arrays, again.pooled(chosen.validation.counts))
    assert again.content["similarity"]["unit"] == pytest.approx(np.percentile(held, 99))
    np.testing.assert_allclose(
        again.distances(own), distances(arrays, own) / np.percentile(held, 99)
    )
    np.testing.assert_array_equal(again.distances(own), tuned.distances(own))


def test_without_cells_set_apart_there_are_no_distances(model, cells, quick, tmp_path):
    options = quick(mode="frozen", epochs=1, validation_share=0)
    alone = finetune(*cells, model=model, options=options, distances=True)
    save_finetuned(alone, tmp_path / "alone")
    again = load_finetuned(tmp_path / "alone", device="cpu")
    assert again.content["similarity"] is None
    assert np.isnan(again.distances(again.pooled(cells[0][:2]))).all()
    assert "not known" in (tmp_path / "alone/README.md").read_text()


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"whitening": np.eye(3), "centroids": np.zeros((2, 3))},
        {"whitening": np.eye(64), "centroids": np.zeros((3, 64))},
        {"whitening": np.full((64, 64), np.nan), "centroids": np.zeros((2, 64))},
        {"whitening": np.eye(64, dtype=np.float32), "centroids": np.zeros((2, 64))},
    ],
)
def test_distances_that_do_not_fit_are_refused(folder, arrays):
    replace_file(folder, "distances.safetensors", save_arrays(arrays))
    with pytest.raises(InputError) as caught:
        load_finetuned(folder)
    assert caught.value.id == "E_FILE_DAMAGED"


def test_names_of_classes_cannot_break_the_card(folder):
    card = (folder / "README.md").read_text()
    assert "<b>" not in card
    assert r"=early\|&lt;b&gt;" in card


def test_only_such_folders_are_taken_for_fine_tuned(folder, tmp_path):
    assert is_finetuned(folder)
    assert not is_finetuned(tmp_path / "nothing")
    assert not is_finetuned(TINY)
    for text in ("[]", "{", '{"kind": "other"}', "[" * 100_000):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / "classifier.json").write_text(text)
        assert not is_finetuned(other)
        with pytest.raises(InputError, match=r"E_FILE_FORMAT|E_FILE_DAMAGED"):
            load_finetuned(other)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "head.safetensors",
        "distances.safetensors",
        "config.json",
        "genes.tsv",
        "card.json",
    ],
)
def test_a_changed_or_missing_file_is_noticed(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"E_MODEL_HASH.*{name}"):
        load_finetuned(folder)
    path.unlink()
    with pytest.raises(InputError, match=f"E_FILE_DAMAGED.*{name} is missing"):
        load_finetuned(folder)


def test_a_changed_word_in_classifier_json_is_noticed(folder):
    path = folder / "classifier.json"
    path.write_text(path.read_text().replace('"late"', '"lost"'))
    with pytest.raises(InputError, match="E_MODEL_HASH"):
        load_finetuned(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["late", "early"]},
        {"classes": ["early"]},
        {"classes": ["a", "b", "c"]},
        {"support": [1]},
        {"genes_sha256": "no"},
        {"options": {"mode": "full", "head": "linear", "pooling": "expressed"}},
        {"calibration": {"temperature": 0}},
        {"calibration": {"temperature": "1"}},
        {"training": {}},
        {"files": {"../../etc/passwd": "0" * 64}},
        {"files": {}},
    ],
)
def test_content_that_makes_no_sense_is_refused(folder, changes):
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=r"E_FILE_DAMAGED|E_MODEL_HASH"):
        load_finetuned(folder)


def test_a_pickle_that_would_run_something_is_refused(folder, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"bert.x": Hostile()}, tmp_path / "hostile.bin")
    replace_file(folder, "pytorch_model.bin", (tmp_path / "hostile.bin").read_bytes())
    with pytest.raises(InputError, match="E_MODEL_UNSAFE"):
        load_finetuned(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "head",
    [
        {"weight": torch.zeros(3, 64), "bias": torch.zeros(3)},
        {"weight": torch.zeros(2, 64)},
        {"weight": torch.full((2, 64), torch.nan), "bias": torch.zeros(2)},
        {"weight": torch.zeros(2, 64), "bias": torch.zeros(2), "more": torch.zeros(1)},
    ],
)
def test_a_head_that_does_not_fit_is_refused(folder, tmp_path, head):
    save_file(head, tmp_path / "head")
    replace_file(folder, "head.safetensors", (tmp_path / "head").read_bytes())
    with pytest.raises(InputError, match=r"E_FILE_DAMAGED.*head"):
        load_finetuned(folder)


def test_a_head_that_is_no_safetensors_file_is_refused(folder):
    replace_file(folder, "head.safetensors", b"\xff" * 40)
    with pytest.raises(InputError, match=r"E_FILE_DAMAGED.*head"):
        load_finetuned(folder)


def test_genes_other_than_those_it_was_trained_on_are_refused(folder):
    lines = (folder / "genes.tsv").read_text().splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    replace_file(folder, "genes.tsv", "".join(lines).encode())
    with pytest.raises(InputError, match="E_MODEL_HASH"):
        load_finetuned(folder)


@pytest.fixture
def counts_store(tmp_path):
    make_cells(12, seed=3).write_h5ad(tmp_path / "query.h5ad")
    store = tmp_path / "counts.zarr.zip"
    align_file(tmp_path / "query.h5ad", store, vocabulary=vocabulary_of(str(TINY)))
    return store


def test_a_store_of_counts_is_labelled_as_its_matrix_is(tuned, folder, counts_store):
    table, content = predict_counts(folder, [counts_store], device="cpu")
    expected = tuned.predict_proba(make_cells(12, seed=3).X)
    first = ["cell", "predicted", "probability", "distance"]
    assert table.columns.tolist() == [*first, "p_=early|<b>", "p_late"]
    assert table["cell"].tolist() == [f"cell{i}" for i in range(12)]
    np.testing.assert_array_equal(table[["p_=early|<b>", "p_late"]], expected)
    assert table["predicted"].tolist() == tuned.classes_[expected.argmax(1)].tolist()
    assert content["training"]["label"] == "labels"


def test_counts_over_other_genes_are_not_labelled(folder, tmp_path, cells_file):
    genes = tmp_path / "less"
    shutil.copytree(TINY, genes)
    lines = (genes / "genes.tsv").read_text().splitlines(keepends=True)
    (genes / "genes.tsv").write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))
    store = tmp_path / "other.zarr.zip"
    align_file(cells_file, store, vocabulary=vocabulary_of(str(genes)))
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        predict_counts(folder, [store], device="cpu")

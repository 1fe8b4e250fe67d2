"""Checkpoints that do not fit or are not safe, outputs that are torn, mixed, there, or held."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
from cases import bad, command
from make_files import anndata, counts, write
from small import TINY, make_cells

from aidocell.lock import this_process
from aidocell.store import write_store

# ---------------------------------------------------------------- checkpoints


def checkpoint(folder: Path) -> Path:
    """A copy of the tiny checkpoint, with weights in PyTorch's form alone."""
    copy = folder / "checkpoint"
    copy.mkdir()
    for name in ("config.json", "genes.tsv", "pytorch_model.bin"):
        shutil.copyfile(TINY / name, copy / name)
    return copy


def embed(folder: Path, model: object, *more: object):
    """The command that embeds a few cells by a checkpoint."""
    if not (folder / "cells.h5ad").exists():
        make_cells(4).write_h5ad(folder / "cells.h5ad")
    words = ["embed", folder / "cells.h5ad", "--model", model, *more]
    return command(*words, "--output", folder / "out" / "e.zarr.zip")


def with_tensors(folder: Path, change) -> object:
    """The command with a checkpoint whose tensors were changed."""
    path = checkpoint(folder) / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    torch.save(change(tensors) or tensors, path)
    return embed(folder, path.parent)


for _name in ("config.json", "pytorch_model.bin"):

    @bad("E_MODEL_MISSING", _name, name=f"checkpoint without {_name}")
    def _made(folder, name=_name):
        home = checkpoint(folder)
        (home / name).unlink()
        return embed(folder, home)


@bad("E_MODEL_MISSING", "neither a folder nor a hub id")
def checkpoint_that_is_not_there(folder):
    return embed(folder, folder / "no" / "checkpoint")


@bad("E_MODEL_MISSING", "config.json")
def config_that_is_a_device(folder):
    home = checkpoint(folder)
    (home / "config.json").unlink()
    (home / "config.json").symlink_to("/dev/zero")
    return embed(folder, home)


_CONFIGS = {
    "no JSON": ("{", "not JSON"),
    "endless depth": ("[" * 100_000, "not JSON"),
    "a list": ("[]", "JSON object"),
    "no fields": ("{}", "no field"),
    "more layers": ({"num_hidden_layers": 3}, "no tensor"),
    "a million layers": ({"num_hidden_layers": 1_000_000}, "too few"),
    "another activation": ({"hidden_act": "gelu"}, "'swiglu'"),
    "text for a number": ({"hidden_size": "64"}, "hidden_size"),
    "heads that do not divide": ({"num_attention_heads": 7}, "multiple"),
    "more genes": ({"max_position_embeddings": 19_264}, "256 genes"),
}
for _name, (_change, _says) in _CONFIGS.items():

    @bad("E_MODEL_CONFIG", _says, name=f"checkpoint's config: {_name}")
    def _made(folder, change=_change):
        home = checkpoint(folder)
        fields = json.loads((home / "config.json").read_text())
        text = change if isinstance(change, str) else json.dumps({**fields, **change})
        (home / "config.json").write_text(text)
        return embed(folder, home)


_LN = "bert.encoder.ln.weight"
_TENSORS = {
    "missing": lambda t: t.pop(_LN) is None,
    "extra": lambda t: {**t, _LN + "2": torch.ones(1)},
    "of another shape": lambda t: {**t, _LN: torch.ones(3, 3)},
    "of whole numbers": lambda t: {**t, _LN: t[_LN].int()},
    "with NaN": lambda t: {**t, _LN: t[_LN] * float("nan")},
    "without values": lambda t: {**t, _LN: t[_LN].to("meta")},
    "that is sparse": lambda t: {**t, _LN: t[_LN].to_sparse()},
    "larger than its values": lambda t: {**t, _LN: torch.ones(1).expand(10**12)},
}
for _name, _change in _TENSORS.items():

    @bad("E_MODEL_CONFIG", _LN, name=f"tensor {_name}")
    def _made(folder, change=_change):
        return with_tensors(folder, change)


@bad("E_MODEL_CONFIG", "cls.predictions")
def two_names_of_a_tensor_larger_than_its_values(folder):
    names = ("cls.predictions.decoder.bias", "cls.predictions.bias")
    return with_tensors(folder, lambda t: {**t, **dict.fromkeys(names, _endless())})


def _endless() -> torch.Tensor:
    return torch.ones(1).expand(10**12)


for _share in (0.0, 0.4, 0.99):

    @bad("E_FILE_DAMAGED", "pytorch_model.bin", name=f"weights cut at {_share:.0%}")
    def _made(folder, share=_share):
        path = checkpoint(folder) / "pytorch_model.bin"
        os.truncate(path, int(path.stat().st_size * share))
        return embed(folder, path.parent)


@bad("E_FILE_DAMAGED", "model.safetensors")
def safetensors_of_a_huge_header(folder):
    home = checkpoint(folder)
    (home / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}" * 40)
    return embed(folder, home)


@bad("E_FILE_DAMAGED", "pytorch_model.bin", "compressed")
def weights_that_unpack_to_more(folder):
    path = checkpoint(folder) / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    return embed(folder, path.parent)


@bad("E_MODEL_UNSAFE", "mkdir", "nothing of it was run")
def weights_that_run_something(folder):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(folder / "out" / "ran"),)

    return with_tensors(folder, lambda t: {**t, "x": Hostile()})


@bad("E_MODEL_UNSAFE", "state dict", name="weights that are a list")
def _list(folder):
    return with_tensors(folder, lambda t: [1, 2])


# ---------------------------------------------------------------- outputs


def store(folder: Path, name: str = "counts.zarr.zip") -> Path:
    write_store(anndata(counts(12)), folder / name, provenance={"stage": "align"})
    return folder / name


for _share in (0.0, 0.3, 0.999):

    @bad("E_STORE_DAMAGED", "counts.zarr.zip", name=f"store cut at {_share:.1%}")
    def _made(folder, share=_share):
        path = store(folder)
        os.truncate(path, int(path.stat().st_size * share))
        return path


for _place in (0.1, 0.5, 0.9):

    @bad("E_STORE_DAMAGED", "counts.zarr.zip", name=f"store with a bit flipped at {_place:.0%}")
    def _made(folder, place=_place):
        path = store(folder)
        content = bytearray(path.read_bytes())
        content[int(len(content) * place)] ^= 1
        path.write_bytes(content)
        return path


@bad("E_STORE_DAMAGED", "no zip file")
def something_else_named_as_a_store(folder):
    (folder / "counts.zarr.zip").write_text("hello")
    return folder / "counts.zarr.zip"


@bad("E_FILE_FORMAT", "output of 'embed'", "counts.zarr.zip")
def embeddings_given_as_counts(folder):
    path = folder / "embeddings.zarr.zip"
    write_store(anndata(counts(12)), path, provenance={"stage": "embed"})
    return path


@bad("E_OUTPUT_EXISTS", "counts.zarr.zip", "--overwrite")
def output_that_is_there(folder):
    store(folder / "out")
    return write(counts(12), folder, "h5ad-csr")


@bad("E_USAGE", "input")
def output_that_is_the_input(folder):
    path = store(folder)
    return command("align", path, "--output", path, "--overwrite")


def _locked(folder: Path, content: str):
    (folder / "out" / ".e.zarr.zip.lock").write_text(content)
    return embed(folder, TINY)


@bad("E_LOCKED", "holds", "wait")
def lock_of_a_living_process(folder):
    return _locked(folder, json.dumps(this_process()))


@bad("E_LOCKED", "elsewhere", "delete")
def lock_of_another_host(folder):
    return _locked(folder, json.dumps({"host": "elsewhere", "pid": 1, "born": "1"}))


for _content in ("", "{}", "[" * 9999, '{"host": 1, "pid": "x", "born": []}'):

    @bad("E_LOCKED", ".e.zarr.zip.lock", name=f"lock that says {_content[:9] or 'nothing'}")
    def _made(folder, content=_content):
        return _locked(folder, content)


# ---------------------------------------------------------------- classifiers


def _apply(folder: Path, classifier: Path):
    make_cells(4).write_h5ad(folder / "cells.h5ad")
    words = ["annotate", "apply", folder / "cells.h5ad", "--model", TINY]
    return command(*words, "--classifier", classifier, "--output", folder / "out" / "t.parquet")


@bad("E_FILE_MISSING", "classifier")
def classifier_that_is_not_there(folder):
    return _apply(folder, folder / "classifier")


@bad("E_FILE_FORMAT", "no classifier")
def classifier_that_is_a_pickle(folder):
    (folder / "model.pkl").write_bytes(pickle.dumps(np.ones(3)))
    return _apply(folder, folder / "model.pkl")


@bad("E_FILE_DAMAGED", "classifier.json")
def classifier_of_endless_depth(folder):
    (folder / "classifier").mkdir()
    (folder / "classifier" / "classifier.json").write_text("[" * 100_000)
    return _apply(folder, folder / "classifier")

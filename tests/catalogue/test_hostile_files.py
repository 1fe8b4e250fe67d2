"""Files made to run something, to lead elsewhere, or to bring the reader down."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from bad_files import VALUES
from bad_outputs import checkpoint
from make_files import anndata, counts, edit, write, write_zarr

from aidocell.counts import read_counts
from aidocell.errors import InputError
from aidocell.evaluate.tables import tsv_text
from aidocell.model import load_model

# ---------------------------------------------------------------- pickles


class Runs:
    """Pickles to a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Sets:
    """Pickles to an object with a state, which `__setstate__` would be given."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __reduce__(self):
        return functools.partial, (os.mkdir,), self.state


def _torch(content: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def _zip(content: bytes, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def _hostile(trace: str) -> dict[str, bytes]:
    run = Runs(os.mkdir, trace)
    tensor = torch.ones(2)
    partial = functools.partial(os.mkdir, trace)
    return {
        "a call": pickle.dumps(run),
        "a call by the shell": pickle.dumps(Runs(os.system, f"mkdir {trace}")),
        "a call among tensors": _torch({"a": tensor, "b": run}),
        "a call in PyTorch's older form": _torch(
            {"a": run}, _use_new_zipfile_serialization=False
        ),
        "a call deep in a state dict": _torch({"model": {"layers": [{"weight": run}]}}),
        "a call named as a tensor's class": _torch({"a": tensor, "bert.ln.weight": run}),
        "text that is evaluated": pickle.dumps({"a": Runs(eval, f"__import__('os').mkdir({trace!r})")}),
        "text that is executed": pickle.dumps({"a": Runs(exec, f"import os; os.mkdir({trace!r})")}),
        "a partial call": _torch({"a": Runs(map, partial, [1])}),
        "a state that is set": _torch({"a": Sets((os.mkdir, (trace,), {}, {}))}),
        "a key that is a call": pickle.dumps({Runs(os.mkdir, trace): 1}),
        "a pickle in protocol 0": b"cos\nmkdir\n(V" + trace.encode() + b"\ntR.",
        "a member outside the zip": _zip(pickle.dumps(run), "../../data.pkl", "archive/data.pkl"),
        "a second pickle": _zip(pickle.dumps(run), "archive/data.pkl", "archive/data.pkl2"),
        "bytes that hide it": _torch({"a": Runs(pickle.loads, pickle.dumps(run))}),
        "a file that is fetched": _torch({"a": Runs(torch.hub.load, trace, "x")}),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", _hostile("x"))
def test_no_pickle_of_a_checkpoint_runs_anything(name, tmp_path):
    trace = tmp_path / "ran"
    home = checkpoint(tmp_path)
    (home / "pytorch_model.bin").write_bytes(_hostile(str(trace))[name])
    with pytest.raises(InputError) as caught:
        load_model(home)
    assert not trace.exists()
    if "zip" in name or name == "a second pickle":  # PyTorch gives up on it before its pickle
        assert caught.value.id in ("E_FILE_DAMAGED", "E_MODEL_UNSAFE")
    else:
        assert caught.value.id == "E_MODEL_UNSAFE"
        assert "nothing of it was run" in caught.value.what


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_no_pickle_of_a_zarr_store_runs_anything(place, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE", "1")
    trace = tmp_path / "ran"
    store = write_zarr(VALUES, tmp_path, "zarr-v2")
    home = store / "obs" / "_index"
    packing = {"filters": [{"id": "vlen-utf8"}], "compressor": None}
    packing[place] = (
        [*packing["filters"], {"id": "pickle"}] if place == "filters" else {"id": "pickle"}
    )
    meta = json.loads((home / ".zarray").read_text())
    (home / ".zarray").write_text(json.dumps({**meta, **packing}))
    (home / "0").write_bytes(pickle.dumps(Runs(os.mkdir, str(trace))))
    (store / ".zmetadata").unlink(missing_ok=True)
    with pytest.raises(InputError, match="pickle"):
        read_counts(store)
    assert not trace.exists()


def test_a_pickle_beside_the_counts_is_never_looked_at(tmp_path):
    trace = tmp_path / "ran"
    content = np.void(pickle.dumps(Runs(os.mkdir, str(trace))))
    path = write(VALUES, tmp_path, "h5ad-csr")
    edit(path, lambda file: file.__setitem__("uns/model", content))
    assert read_counts(path).n_obs == 12
    assert not trace.exists()


def test_no_tag_of_a_configuration_makes_an_object(tmp_path):
    from snakemake.common.configfile import load_configfile

    trace = tmp_path / "ran"
    path = tmp_path / "config.yaml"
    path.write_text(f"model: !!python/object/apply:os.mkdir ['{trace}']\n")
    with pytest.raises((yaml.YAMLError, Exception)):
        load_configfile(str(path))
    assert not trace.exists()


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_a_name_that_a_spreadsheet_would_run_is_kept_from_it(start):
    text = tsv_text(f"{start}HYPERLINK(1)")
    assert text[0] not in "=+-@\t\r"
    assert "\n" not in tsv_text("a\nb")


# ---------------------------------------------------------------- HDF5


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_counts(path)
    assert str(caught.value).isprintable()
    return caught.value


def test_a_chain_of_soft_links_to_an_external_one_is_refused(tmp_path):
    def chain(file):
        del file["X/data"]
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/c")
        file["c"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["X/data"] = h5py.SoftLink("/a")

    assert refusal(edit(write(VALUES, tmp_path, "h5ad-csr"), chain)).id == "E_FILE_LINK"


@pytest.mark.parametrize("part", ["X", "X/data", "obs", "obs/_index", "var", "layers"])
def test_a_soft_link_to_itself_ends(part, tmp_path):
    def loop(file):
        del file[part]
        file[part] = h5py.SoftLink(f"/{part}")

    path = edit(write(VALUES, tmp_path, "h5ad-csr"), loop)
    assert refusal(path).id in ("E_FILE_DAMAGED", "E_LAYER_MISSING")


def test_a_part_with_a_second_name_elsewhere_is_looked_at_all_the_same(tmp_path):
    def alias(file):
        replaced = file["X"].create_dataset("new", shape=(10**9,), dtype="f4", chunks=(1000,))
        del file["X/data"]
        file["X/data"] = replaced
        file["a/data"] = replaced  # a name that comes first

    assert refusal(edit(write(VALUES, tmp_path, "h5ad-csr"), alias)).id == "E_FILE_DAMAGED"


def test_a_plugin_of_the_environment_is_never_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))
    (tmp_path / "libh5special.so").write_bytes(b"\x7fELF nothing to load")
    anndata(VALUES).write_h5ad(tmp_path / "x.h5ad", compression="gzip")
    deflate, special = b"\1\0\x08\0\1\0\1\0deflate", b"\x64\x7d\x08\0\1\0\1\0special"
    content = (tmp_path / "x.h5ad").read_bytes().replace(deflate, special)
    (tmp_path / "x.h5ad").write_bytes(content)
    error = refusal(tmp_path / "x.h5ad")
    assert error.id == "E_FILE_FORMAT"
    assert "not installed" in error.what


@pytest.mark.parametrize("part", ["X", "obs"])
def test_a_huge_attribute_does_not_matter(part, tmp_path):
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w", libver="latest"):
        pass
    anndata(VALUES).write_h5ad(path)

    def swell(file):
        file[part].attrs.create("huge", np.zeros(7000, dtype="f8"))
        file[part].attrs.create("much", ["x" * 60_000], dtype=h5py.string_dtype())

    assert read_counts(edit(path, swell)).n_obs == 12


def test_groups_nested_without_end_are_no_traceback(tmp_path):
    def nest(file):
        group = file["obs"]
        for _ in range(1500):
            group = group.create_group("g")
        file["obs"].attrs["column-order"] = ["donor", "g"]

    assert refusal(edit(write(VALUES, tmp_path, "h5ad-csr"), nest)).id == "E_FILE_DAMAGED"


def flips(path: Path, number: int, seed: int, *, most: int = 4):
    """The file again and again, each time with some of its bytes changed."""
    original = path.read_bytes()
    generator = random.Random(seed)
    for _ in range(number):
        content = bytearray(original)
        for _ in range(generator.randint(1, most)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        yield path


def survives(path: Path) -> str:
    """Read what may be broken; the error's id, or none."""
    try:
        read_counts(path)
    except InputError as error:
        return error.id if str(error).isprintable() else "not printable"
    return ""


@pytest.mark.parametrize("form", ["h5ad-csr", "10x-v3", "zip", "mtx"])
def test_a_file_with_bytes_changed_is_read_or_named(form, tmp_path):
    path = write(VALUES, tmp_path, form)
    path = path / "matrix.mtx.gz" if form == "mtx" else path
    for broken in flips(path, 4, seed=len(form)):
        assert survives(broken.parent if form == "mtx" else broken) != "not printable"


@pytest.mark.long
@pytest.mark.parametrize("form", ["h5ad-csr", "h5ad-csc", "10x-v3", "10x-v2", "zip"])
def test_two_hundred_files_with_bytes_changed_are_read_or_named(form, tmp_path, monkeypatch):
    monkeypatch.setenv("AIDOCELL_PROBE_SECONDS", "30")
    path = write(counts(30), tmp_path, form)
    ids = [survives(broken) for broken in flips(path, 200, seed=7, most=8)]
    assert len(set(ids)) > 1

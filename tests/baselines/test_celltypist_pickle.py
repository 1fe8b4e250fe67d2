import os
import pickle
import struct
import time

import numpy as np
import pytest
from baselines.toys import GENES, toy
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aidocell.baselines import celltypist_model, celltypist_pickle
from aidocell.baselines.celltypist_model import read_model
from aidocell.errors import InputError


class Calls:
    """Pickled as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def content(**changes):
    """What a model file holds, after `changes` to the attributes of its two estimators."""
    counts, y = toy()
    scaler = StandardScaler().fit(counts.toarray())
    classifier = LogisticRegression().fit(counts.toarray(), y)
    classifier.features = GENES.astype(object)
    for name, value in changes.items():
        owner = scaler if name in ("mean_", "scale_", "with_mean") else classifier
        setattr(owner, name, value)
    return {"Model": classifier, "Scaler_": scaler, "description": {"date": "today"}}


def written(path, thing, protocol=4):
    path.write_bytes(thing if isinstance(thing, bytes) else pickle.dumps(thing, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("features", [GENES.astype(object), GENES])
def test_numbers_and_names_come_out_as_they_went_in(tmp_path, protocol, features):
    model = content(features=features, coef_=np.asfortranarray(np.arange(120.0).reshape(3, 40)))
    found = read_model(written(tmp_path / "m.pkl", model, protocol))
    np.testing.assert_array_equal(found.classifier.coef_, model["Model"].coef_)
    np.testing.assert_array_equal(found.scaler.mean_, model["Scaler_"].mean_)
    assert found.features.tolist() == GENES.tolist()
    assert found.cell_types.tolist() == ["B", "NK", "T"]
    assert found.description["date"] == "today"
    assert "3 cell types and 40 features" in repr(found)


def hostile():
    """Pickles that would each leave the file `ran`, were they loaded, or that fill the memory."""
    touch = "touch ran"
    code = "open('ran', 'w')"
    nested = pickle.dumps(Calls(os.system, touch))
    array = np.empty(1, dtype=object)
    array[0] = Calls(os.system, touch)
    hidden = content()
    hidden["Model"].decision_function = Calls(eval, code)
    state = StandardScaler()
    state.__dict__["with_mean"] = Calls(exec, code)
    return {
        "system": Calls(os.system, touch),
        "eval": Calls(eval, code),
        "getattr chain": Calls(getattr, Calls(__import__, "os"), "system"),
        "nested load": Calls(pickle.loads, nested),
        "torch load": b"\x80\x04ctorch\nload\n\x8c\x03ranR.",
        "numpy load": b"\x80\x04cnumpy\nload\n\x8c\x03ranR.",
        "array of objects": array,
        "in a model": hidden,
        "in a scaler": {**content(), "Scaler_": state},
        "description": {**content(), "description": {"date": Calls(os.system, touch)}},
        "module of ours": b"\x80\x04caidocell.files\nremove_tree\n\x8c\x03ranR.",
        "a name with dots": b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
        "old instructions": b"(S'touch ran'\nios\nsystem\n.",
        "object instruction": b"(cos\nsystem\nS'touch ran'\no.",
        "persistent id": b"\x80\x04\x8c\x01xQ.",
        "extension": b"\x80\x04\x82\x01.",
        "call of a class": b"\x80\x04csklearn.preprocessing._data\nStandardScaler\n)R.",
        "call of an array": b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",
        "type of records": b"\x80\x04cnumpy\ndtype\n(\x8c\x04V999tR.",
        "deep key": b"\x80\x04})" + b"\x94h\x00h\x00\x86" * 60 + b"Ns.",
        "set": b"\x80\x04\x8f.",
        "endless": b"\x80\x04" + b"N" * 200,
    }


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "m.pkl", hostile()[name])
    with pytest.raises(InputError, match=r"E_MODEL_UNSAFE|E_FILE_(DAMAGED|FORMAT)") as raised:
        read_model(path)
    assert not (tmp_path / "ran").exists()
    assert "\n" not in str(raised.value)


def test_no_pickle_is_loaded_and_nothing_imported_by_name(tmp_path, monkeypatch):
    path = written(tmp_path / "m.pkl", content())
    read_model(path)

    def forbidden(*_):
        raise AssertionError("the pickle was loaded")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    assert read_model(path).cell_types.tolist() == ["B", "NK", "T"]


BOMBS = {
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "long buffer": b"\x80\x05\x96" + struct.pack("<Q", 2**45) + b"x.",
    "far memo": b"\x80\x04Nr\xff\xff\xff\xff.",
    "wide array": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    b"J\xff\xff\xff\x7f\x85C\x01btR.",
    "many instructions": b"\x80\x04" + b"N" * 600 + b".",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_time_nor_memory(name, tmp_path, monkeypatch):
    monkeypatch.setattr(celltypist_pickle, "MOST_INSTRUCTIONS", 550)
    started = time.process_time()
    with pytest.raises(InputError, match=r"E_MODEL_UNSAFE|E_FILE_(DAMAGED|FORMAT)"):
        read_model(written(tmp_path / "m.pkl", BOMBS[name]))
    assert time.process_time() - started < 2


def folded(depth):
    """A list of two lists, which are one list of two lists, and so on."""
    things = []
    for _ in range(depth):
        things = [things, things]
    return things


def test_a_description_that_unfolds_is_left_out(tmp_path):
    model = {**content(), "description": {"date": folded(80), "source": "here"}}
    description = read_model(written(tmp_path / "m.pkl", model)).description
    assert (description["date"], description["source"]) == ("", "here")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(celltypist_model, "MAX_BYTES", 2**10)
    with pytest.raises(InputError, match="E_MODEL_UNSAFE"):
        read_model(written(tmp_path / "m.pkl", content()))


def test_every_cut_is_damage_and_every_other_file_is_no_model(tmp_path):
    whole = pickle.dumps(content())
    for length in [0, 1, 2, *range(10, len(whole) - 1, len(whole) // 40)]:
        with pytest.raises(InputError, match=r"E_FILE_DAMAGED|E_MODEL_UNSAFE"):
            read_model(written(tmp_path / "m.pkl", whole[:length]))
    for other in (b"<html>", [1, 2], {"Model": 1}, None):
        with pytest.raises(InputError, match="E_FILE_FORMAT"):
            read_model(written(tmp_path / "m.pkl", other))
    with pytest.raises(InputError, match="E_FILE_DAMAGED"):
        read_model(written(tmp_path / "m.pkl", {**content(), "Model": StandardScaler()}))


def test_changed_bytes_never_end_in_another_error(tmp_path):
    whole, rng = pickle.dumps(content()), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = rng.integers(256)
        try:
            read_model(written(tmp_path / "m.pkl", bytes(damaged)))
        except InputError:
            refused += 1
    assert refused  # a changed coefficient is a model as well


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"coef_": np.zeros((3, 39))}, "coef_ of shape"),
        ({"coef_": np.full((3, 40), np.nan)}, "coef_ with NaN"),
        ({"intercept_": np.zeros(1)}, "intercept_ of shape"),
        ({"features": np.array(["a"] * 40, dtype=object)}, "not all different"),
        ({"features": np.arange(40)}, "not a list of names"),
        ({"classes_": np.array(["a"], dtype=object)}, "fewer than two"),
        ({"scale_": np.zeros(40)}, "not above zero"),
        ({"mean_": np.zeros(2)}, "mean_ of shape"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, changes, text):
    with pytest.raises(InputError, match=f"E_MODEL_CONFIG.*{text}"):
        read_model(written(tmp_path / "m.pkl", content(**changes)))


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(InputError, match="E_MODEL_MISSING"):
        read_model(tmp_path)

"""Where several faults apply, the first of the documented order is the one that is named."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
from bad_files import VALUES
from cases import run_command, words_of
from make_files import edit, replace, write, write_10x, write_zarr


def link(file):
    file["uns/link"] = h5py.ExternalLink("/etc/passwd", "/x")


def damage(file):
    replace(file, "obs/donor/codes", file["obs/donor/codes"][:-1])


def never_written(file):
    del file["X/data"]
    file["X"].create_dataset("data", shape=(VALUES.size,), dtype="f4", chunks=(8,))


def ragged(file):
    content = file["X/indices"][()]
    content[-1] = 6
    replace(file, "X/indices", content)


def text(file):
    replace(file, "X/data", np.full(file["X/data"].shape, b"7", dtype="S1"))


def antibodies(file):
    file["var/feature_types"] = np.array(["Antibody Capture"] * 6, dtype=object)
    file["var/feature_types"].attrs.update(file["var/gene_ids"].attrs)
    file["var"].attrs["column-order"] = ["gene_ids", "feature_types"]


def same_names(file):
    replace(file, "obs/_index", np.array(["A"] * 12, dtype=object))


def value(number: float, at: int):
    def change(file):
        content = file["X/data"][()]
        content[at] = number
        replace(file, "X/data", content)

    return change


not_finite, negative, fraction = value(np.nan, -1), value(-1, 1), value(0.37, 0)


def mice(file):
    names = ["Actb", "Cd3e", "Gapdh", "Ms4a1", "Nkg7", "Rpl3"]
    replace(file, "var/_index", np.array(names, dtype=object))
    replace(file, "var/gene_ids", np.array(names, dtype=object))


def unknown(file):
    replace(file, "var/_index", np.array(list("123456"), dtype=object))
    replace(file, "var/gene_ids", np.array(list("123456"), dtype=object))


LAYER, SHARE, CELLS = ["--layer", "none"], ["--min-gene-share", "2"], ["--cells", "none.txt"]


def names_of(value: object) -> str:
    parts = value if isinstance(value, list) else [value]
    return "-".join(getattr(part, "__name__", str(part)) for part in parts) or "alone"


@pytest.mark.parametrize(
    ("faults", "options", "id"),
    [
        ([damage], SHARE, "E_USAGE"),
        ([damage, link], CELLS, "E_FILE_MISSING"),
        ([link, damage], [], "E_FILE_LINK"),
        ([link, ragged], LAYER, "E_FILE_LINK"),
        ([damage, ragged], [], "E_FILE_DAMAGED"),
        ([never_written, same_names], LAYER, "E_FILE_DAMAGED"),
        ([ragged], LAYER, "E_LAYER_MISSING"),
        ([text, same_names], LAYER, "E_LAYER_MISSING"),
        ([ragged, text], [], "E_MATRIX_SHAPE"),
        ([ragged, antibodies], [], "E_MATRIX_SHAPE"),
        ([ragged, same_names], [], "E_MATRIX_SHAPE"),
        ([text, antibodies], [], "E_MATRIX_TYPE"),
        ([text, same_names], [], "E_MATRIX_TYPE"),
        ([antibodies, same_names], [], "E_FEATURES"),
        ([antibodies, not_finite], [], "E_FEATURES"),
        ([same_names, not_finite], [], "E_CELL_NAMES"),
        ([same_names, mice], [], "E_CELL_NAMES"),
        ([not_finite, negative, fraction], [], "E_NOT_FINITE"),
        ([not_finite, mice], [], "E_NOT_FINITE"),
        ([negative, fraction], [], "E_NEGATIVE"),
        ([negative, unknown], [], "E_NEGATIVE"),
        ([fraction, mice], [], "E_NOT_COUNTS"),
        ([fraction, unknown], [], "E_NOT_COUNTS"),
    ],
    ids=names_of,
)
def test_the_first_fault_in_the_order_is_named(faults, options, id, tmp_path):
    path = write(VALUES, tmp_path, "h5ad-csr")
    for fault in faults:
        edit(path, fault)
    refused(tmp_path, [path, *options], id)


def refused(folder, words, id):
    (folder / "out").mkdir()
    status, stderr = run_command(words_of(words, folder))
    assert (status, stderr.splitlines()[-1].split("]")[0]) == (2, f"error[{id}")


def test_another_kind_of_store_comes_before_its_links(tmp_path):
    store = write_zarr(VALUES, tmp_path, "zarr-v2")
    (store / "obs").rename(store / "observations")
    (store / "link").symlink_to("/etc")
    refused(tmp_path, [store], "E_FILE_FORMAT")


def test_a_file_of_another_kind_comes_before_a_layer(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["something"] = h5py.SoftLink("/nowhere")
        file["else"] = h5py.ExternalLink("/etc/passwd", "/x")
    refused(tmp_path, [tmp_path / "x.h5", *LAYER], "E_FILE_FORMAT")


def test_damage_comes_before_features_and_cells(tmp_path):
    path = write_10x(VALUES, tmp_path / "x.h5", types=["Antibody Capture"] * 6)
    os.truncate(path, path.stat().st_size - 90)
    refused(tmp_path, [path], "E_FILE_DAMAGED")

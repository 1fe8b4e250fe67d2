import csv
import hashlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from aidocell.errors import InputError
from aidocell.manifest import MANIFEST, find_damage, write_manifest
from aidocell.records import write_record
from aidocell.store import read_store, write_store
from aidocell.tables import write_table


@pytest.fixture
def results(tmp_path) -> Path:
    """A results folder with its manifest, as a study leaves it."""
    folder = tmp_path / "results"
    (folder / "report" / "samples").mkdir(parents=True)
    for name in (
        "model.json",
        "report/report.html",
        "report/samples/a.html",
        "report/samples/b.html",
    ):
        (folder / name).write_text(f"content of {name}")
    outputs = {
        "model": [str(folder / "model.json")],
        "report": [str(folder / "report" / "samples"), str(folder / "report" / "report.html")],
    }
    write_manifest(outputs, folder / MANIFEST)
    return folder


def rows(folder):
    with (folder / MANIFEST).open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def add_row(folder, path, sha256="0" * 64):
    with (folder / MANIFEST).open("a", newline="") as handle:
        csv.writer(handle, delimiter="\t", lineterminator="\n").writerow([path, sha256, "x"])


def damage(path) -> list[str]:
    return [str(error) for error in find_damage(path)]


def test_a_manifest_lists_path_checksum_and_maker_of_every_file(results):
    table = rows(results)
    assert [(row["path"], row["maker"]) for row in table] == [
        ("model.json", "model"),
        ("report/report.html", "report"),
        ("report/samples/a.html", "report"),
        ("report/samples/b.html", "report"),
    ]
    assert table[0]["sha256"] == hashlib.sha256(b"content of model.json").hexdigest()


def test_hidden_files_of_a_folder_are_nobody_s_output(results):
    before = (results / MANIFEST).read_bytes()
    (results / "report/samples/.snakemake_timestamp").touch()
    outputs = {"model": [str(results / "model.json")], "report": [str(results / "report")]}
    write_manifest(outputs, results / MANIFEST)
    assert (results / MANIFEST).read_bytes() == before


def test_a_manifest_has_the_same_bytes_each_time_and_moves_with_its_folder(results, tmp_path):
    before = (results / MANIFEST).read_bytes()
    moved = results.rename(tmp_path / "moved")
    assert damage(moved) == []
    write_manifest(
        {"model": [str(moved / "model.json")], "report": [str(moved / "report")]}, moved / MANIFEST
    )
    assert (moved / MANIFEST).read_bytes() == before


def test_an_untouched_folder_is_whole_by_its_name_or_its_manifest_s(results):
    assert damage(results) == damage(results / MANIFEST) == []


def test_a_manifest_is_read_from_where_one_stands(results, monkeypatch):
    monkeypatch.chdir(results)
    assert damage(".") == damage(MANIFEST) == []


def test_a_changed_file_is_named(results):
    (results / "report/report.html").write_text("content of report/report.htmL")
    (line,) = damage(results)
    assert line.startswith("error[E_STORE_DAMAGED]")
    assert "report/report.html is not as it was written" in line


def test_every_damage_is_named_in_the_order_of_the_manifest(results):
    (results / "model.json").unlink()
    (results / "report/samples/b.html").write_text("")
    first, second = damage(results)
    assert "model.json is gone" in first
    assert "b.html is not as it was written" in second


def test_a_folder_in_the_place_of_a_file_is_damage(results):
    (results / "model.json").unlink()
    (results / "model.json").mkdir()
    assert "is gone" in damage(results)[0]


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "report/../../secret", "link", "link/x"]
)
def test_a_path_that_leaves_the_folder_is_not_followed(results, path):
    secret = results.parent / "secret"
    secret.write_text("s")
    (results / "link").symlink_to(secret)
    add_row(results, path, hashlib.sha256(b"s").hexdigest())
    (line,) = damage(results)
    assert "lies outside the results folder" in line


@pytest.mark.parametrize("path", ["x" * 5000, "a\x00b", "loop"])
def test_what_can_be_no_path_is_damage(results, path):
    (results / "loop").symlink_to("loop")
    add_row(results, path)
    assert len(damage(results)) == 1


def test_odd_names_come_back_as_they_were(tmp_path):
    names = ["a b", "a\tb", "a\nb", 'a"b', "$(touch x)", "-r", "#x", "=1", "Zürich"]
    for name in names:
        (tmp_path / name).write_text(name)
    write_manifest({"all": [str(tmp_path / name) for name in names]}, tmp_path / MANIFEST)
    assert sorted(row["path"] for row in rows(tmp_path)) == sorted(names)
    assert damage(tmp_path) == []
    (tmp_path / "a\nb").unlink()
    (line,) = damage(tmp_path)
    assert "a\\nb is gone" in line


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"path\tsha256\tmaker\n",
        b"path,sha256,maker\nmodel.json,0,x\n",
        b"path\tsha256\nmodel.json\t0\n",
        b"path\tsha256\tmaker\nmodel.json\t0\n",
        b"path\tsha256\tmaker\nmodel.json\t0\tx\ty\n",
        b'path\tsha256\tmaker\n"model.json\t0\tx\n',
        b"path\tsha256\tmaker\n\xff\t0\tx\n",
        b"\x89HDF",
    ],
)
def test_what_is_no_manifest_is_said_to_be_none(results, content):
    (results / MANIFEST).write_bytes(content)
    (line,) = damage(results)
    assert line.startswith("error[E_STORE_DAMAGED]")
    assert "is no manifest" in line


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    (line,) = damage(tmp_path)
    assert line.startswith("error[E_FILE_MISSING]")
    assert "manifest.tsv" in line


@pytest.fixture
def store(tmp_path) -> Path:
    path = tmp_path / "x.zarr.zip"
    cells = ad.AnnData(obs=pd.DataFrame(index=["a", "b"]), obsm={"X_aidocell": np.eye(2)})
    write_store(cells, path, provenance={"run_key": "k1"})
    return path


def test_a_store_is_whole_until_a_byte_of_it_changes(store):
    assert damage(store) == []
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    (line,) = damage(store)
    assert line.startswith("error[E_STORE_DAMAGED]")


def test_files_that_carry_no_checksum_and_files_that_are_not_there_are_told_apart(tmp_path):
    (tmp_path / "x.h5ad").touch()
    assert damage(tmp_path / "x.h5ad")[0].startswith("error[E_FILE_FORMAT]")
    assert damage(tmp_path / "no.h5ad")[0].startswith("error[E_FILE_MISSING]")
    assert damage(tmp_path / "no.zarr.zip")[0].startswith("error[E_FILE_MISSING]")
    assert damage(tmp_path / MANIFEST)[0].startswith("error[E_FILE_MISSING]")


def test_damage_is_returned_as_errors_of_the_user_s_kind(tmp_path):
    assert all(isinstance(error, InputError) for error in find_damage(tmp_path))


def test_a_manifest_that_names_a_missing_output_is_not_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_manifest({"model": [str(tmp_path / "model.json")]}, tmp_path / MANIFEST)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the table itself


@pytest.fixture
def sampled(tmp_path) -> Path:
    """Results of two samples, one of them refused."""
    folder = tmp_path / "results"
    write_record(folder / "model.json", {"id": "m"})
    (folder / "admission.tsv").write_text("sample\taccepted\na\tyes\nb\tno\n")
    write_record(
        folder / "samples/a/shards.json", {"run_key": "k1", "key": "k", "shards": [[0, 2], [2, 4]]}
    )
    for name in "ab":
        write_record(folder / f"samples/{name}/audit.json", {"sample": name})
    outputs = {
        "model": [str(folder / "model.json")],
        "admit": [str(folder / "admission.tsv")],
        "check": [str(folder / f"samples/{name}/audit.json") for name in "ab"],
        "plan": [str(folder / "samples/a/shards.json")],
    }
    write_manifest(outputs, folder / MANIFEST)
    return folder


@pytest.mark.parametrize("line", [1, 2, 3, 4, 5])
def test_a_line_that_is_gone_is_noticed(sampled, line):
    lines = (sampled / MANIFEST).read_text().splitlines(keepends=True)
    path = lines.pop(line).split("\t")[0]
    (sampled / MANIFEST).write_text("".join(lines))
    (error,) = damage(sampled)
    assert f"{path} is not in manifest.tsv; delete manifest.tsv and run the study again" in error


def test_a_wrong_maker_a_doubled_line_and_a_cut_last_one_are_noticed(sampled):
    whole = (sampled / MANIFEST).read_text()
    for changed, what in (
        (whole.replace("\tmodel\n", "\tmodem\n"), "model.json has the wrong maker"),
        (whole + whole.splitlines(keepends=True)[-1], "is no manifest"),
        (whole[:-1], "is no manifest"),
        (whole.replace("\n", "\r\n"), "is no manifest"),
    ):
        (sampled / MANIFEST).write_bytes(changed.encode())
        (error,) = damage(sampled)
        assert what in error


def test_what_a_sample_left_that_is_in_the_study_no_more_is_passed_over(sampled):
    for path in ("samples/old/audit.json", "samples/b/qc.parquet", "study/annotate/metrics.tsv"):
        (sampled / path).parent.mkdir(parents=True, exist_ok=True)
        (sampled / path).touch()
    assert damage(sampled) == []
    (sampled / "samples/a/qc.parquet").touch()
    assert "a/qc.parquet is not in manifest.tsv" in damage(sampled)[0]


def test_shards_of_the_plan_are_checked_by_themselves_and_older_ones_are_not(sampled, store):
    folder = sampled / "samples/a/shards"
    for path in ("k/0-2.zarr.zip", "k/2-4.zarr.zip", "older/0-4.zarr.zip"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(store.read_bytes())
    assert damage(sampled) == []
    for path in ("k/2-4.zarr.zip", "older/0-4.zarr.zip"):
        (folder / path).write_bytes(b"PK")
    (error,) = damage(sampled)
    assert "k/2-4.zarr.zip is torn or changed" in error


def test_a_shard_of_another_plan_is_noticed(sampled, store):
    shard = sampled / "samples/a/shards/k/0-2.zarr.zip"
    write_store(read_store(store), shard, provenance={"run_key": "k2"})
    (error,) = damage(sampled)
    assert "0-2.zarr.zip has run key k2, expected k1; delete it" in error


def test_a_record_and_a_table_are_whole_by_their_own_seals(tmp_path):
    record, table = tmp_path / "audit.json", tmp_path / "qc.parquet"
    write_record(record, {"cells": 12})
    write_table(pd.DataFrame({"cell": ["a"]}), table, about={})
    assert damage(record) == damage(table) == []
    record.write_text(record.read_text().replace("12", "13"))
    table.write_bytes(table.read_bytes()[:-1])
    for path in (record, table):
        assert damage(path)[0].startswith("error[E_STORE_DAMAGED]")


def test_json_of_others_carries_no_checksum(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    assert damage(tmp_path / "x.json")[0].startswith("error[E_FILE_FORMAT]")
    assert damage(tmp_path / "no.parquet")[0].startswith("error[E_FILE_MISSING]")

"""Data sets from a hub that stands on this machine, by the hub's real client."""

import hashlib
import shutil
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer
from huggingface_hub import constants
from small import make_cells

from aidocell.baselines import Unavailable
from aidocell.benchmark.data import prepare_clustering, prepare_dataset, store_of
from aidocell.benchmark.download import fetch_dataset, fetch_file
from aidocell.benchmark.sources import DATA
from aidocell.errors import InputError
from aidocell.files import sha256_file
from aidocell.records import read_record

REPOSITORY = "somebody/cells"
NAME = "one/one_train.h5ad"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Real form: whole numbers as labels, symbols as genes, folders in the repository."""
    folder = tmp_path_factory.mktemp("hub") / "one"
    folder.mkdir()
    for seed, (part, cells) in enumerate({"train": 24, "valid": 12, "test": 15}.items()):
        made = make_cells(cells, seed=seed)
        made.obs_names = [f"{part}{name}" for name in made.obs_names]
        made.obs["cell_type_label"] = (made.obs.pop("cell_type") == "late").astype(int)
        made.write_h5ad(folder / f"one_{part}.h5ad")
    (folder / "README.md").write_text("small files are announced otherwise\n")
    return folder.parent


@pytest.fixture
def hub(files, tmp_path, monkeypatch):
    with HubServer({f"datasets/{REPOSITORY}": files}) as server:
        point_at(monkeypatch, server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def point_at(monkeypatch, url):
    """What the client makes of HF_ENDPOINT when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def reason(*names, **options):
    with pytest.raises(Unavailable) as caught:
        fetch_dataset(REPOSITORY, names or [NAME], **options)
    return str(caught.value)


def blobs(tmp_path):
    return [p for p in (tmp_path / "cache").rglob("blobs/*") if p.is_file()]


def test_files_come_whole_with_their_commit_and_hash(hub, files):
    large, small = fetch_dataset(REPOSITORY, [NAME, "one/README.md"])
    assert large.path.read_bytes() == (files / NAME).read_bytes()
    assert large.announced == large.sha256 == sha256_file(files / NAME)
    assert (large.revision, small.revision) == (COMMIT, COMMIT)
    content = (files / "one/README.md").read_bytes()
    assert small.announced == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert small.sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_there_is_not_downloaded_again(hub, monkeypatch):
    fetch_dataset(REPOSITORY, [NAME])
    hub.requests.clear()
    fetch_dataset(REPOSITORY, [NAME], revision=COMMIT)
    assert not [r for r in hub.requests if r.startswith("GET")]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_dataset(REPOSITORY, [NAME])[0].revision == COMMIT


def test_a_changed_file_is_refused_and_leaves_the_cache_so_that_the_next_try_is_new(hub, tmp_path):
    whole = (hub.repositories[f"datasets/{REPOSITORY}"] / NAME).read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    hub.altered[Path(NAME).name] = bytes(changed)
    assert "came broken" in reason()
    assert blobs(tmp_path) == []
    hub.altered.clear()
    assert fetch_dataset(REPOSITORY, [NAME])[0].sha256 == hashlib.sha256(whole).hexdigest()


def test_a_shortened_file_is_refused(hub):
    whole = (hub.repositories[f"datasets/{REPOSITORY}"] / NAME).read_bytes()
    hub.altered[Path(NAME).name] = whole[: len(whole) // 2]
    assert "came broken" in reason()


def test_a_connection_that_ends_too_early_is_unavailable(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.cut[Path(NAME).name] = 1000
    assert NAME in reason()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_unavailable(hub, status):
    hub.refused[Path(NAME).name] = status
    assert str(status) in reason()


def test_what_the_hub_does_not_have_is_unavailable(hub):
    assert "nothing.h5ad" in reason("one/nothing.h5ad")
    assert "v9" in reason(revision="v9")
    with pytest.raises(Unavailable, match="somebody/else"):
        fetch_dataset("somebody/else", [NAME])


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_that_cannot_be_reached_is_unavailable(hub, monkeypatch, offline):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    point_at(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    assert ("offline" if offline else "refused") in reason()


# ---------------------------------------------------------------- a file by path or URL


def test_a_file_by_url_is_that_file_if_it_has_the_sha256_that_was_given(hub, files, tmp_path):
    url, sha256 = f"{hub.url}/datasets/{REPOSITORY}/resolve/main/{NAME}", sha256_file(files / NAME)
    found = fetch_file(url, tmp_path, sha256=sha256)
    assert found.path.read_bytes() == (files / NAME).read_bytes()
    with pytest.raises(Unavailable, match="sha256"):
        fetch_file(url, tmp_path, sha256="0" * 64)


def test_a_url_that_is_cut_short_or_refused_is_unavailable(hub, tmp_path):
    url = f"{hub.url}/datasets/{REPOSITORY}/resolve/main/{NAME}"
    hub.cut[Path(NAME).name] = 1000
    with pytest.raises(Unavailable, match="cut short"):
        fetch_file(url, tmp_path)
    hub.refused[Path(NAME).name] = 503
    with pytest.raises(Unavailable, match="503"):
        fetch_file(url, tmp_path)
    assert list(tmp_path.glob("download-*")) == []


@pytest.mark.parametrize("path", [None, "nothing.h5ad", "ftp://127.0.0.1/x", "file:///etc/hosts"])
def test_what_is_no_file_and_no_address_is_unavailable(tmp_path, path):
    with pytest.raises(Unavailable):
        fetch_file(path, tmp_path)


# ---------------------------------------------------------------- aligned and described


def section(**changes):
    named = {part: f"one/one_{part}.h5ad" for part in ("train", "valid", "test")}
    return {
        "name": "one",
        "repository": REPOSITORY,
        "revision": None,
        "label": "cell_type_label",
        "layer": None,
        "gene_ids": None,
        "round": False,
        **named,
        **changes,
    }


def test_a_data_set_is_described_by_its_cells_classes_and_genes(hub, tmp_path):
    prepare_dataset(tmp_path / "data", section(), min_share=0.5)
    about = read_record(tmp_path / "data" / DATA)
    assert about["status"] == "available"
    assert {part: one["cells"] for part, one in about["parts"].items()} == {
        "train": 24,
        "valid": 12,
        "test": 15,
    }
    assert set(about["parts"]["test"]["classes"]) == {"0", "1"}
    assert about["parts"]["train"]["genes_measured"] == 256
    assert about["parts"]["train"]["counts_resolved"] == 1.0
    assert about["leaks"] == {"groups": 0, "cells": 0}
    assert store_of(tmp_path / "data", "valid").is_file()


def test_equal_cells_of_two_published_files_are_counted_and_borne(hub, files, tmp_path):
    shutil.copy(files / "one/one_train.h5ad", files / "one/same.h5ad")
    prepare_dataset(tmp_path / "data", section(test="one/same.h5ad", valid=None), min_share=0.5)
    about = read_record(tmp_path / "data" / DATA)
    assert about["status"] == "available"
    assert about["leaks"]["cells"] == 24


def test_a_file_that_holds_no_counts_makes_its_data_set_unavailable(hub, files, tmp_path):
    normalised = make_cells(20)
    normalised.X = normalised.X.astype("float32") * 0.37
    normalised.obs["cell_type_label"] = 1
    normalised.write_h5ad(files / "one/normalised.h5ad")
    prepare_dataset(tmp_path / "data", section(test="one/normalised.h5ad"), min_share=0.5)
    about = read_record(tmp_path / "data" / DATA)
    assert about["status"] == "unavailable"
    assert "not" in about["reason"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [DATA]


def test_a_column_that_is_not_there_is_the_configurations_fault(hub, tmp_path):
    with pytest.raises(InputError) as caught:
        prepare_dataset(tmp_path / "data", section(label="celltype"), min_share=0.5)
    assert caught.value.id == "E_LABEL_MISSING"
    assert not (tmp_path / "data").exists()


def test_a_file_for_clustering_keeps_no_download_beside_its_counts(hub, tmp_path):
    url = f"{hub.url}/datasets/{REPOSITORY}/resolve/main/{NAME}"
    given = section(path=url, sha256=None)
    prepare_clustering(tmp_path / "data", given, min_share=0.5)
    assert read_record(tmp_path / "data" / DATA)["parts"]["cells"]["source"] == url
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["cells.zarr.zip", DATA]

"""Checkpoints from the hub: fetched once, of one commit, kept, verified, and licensed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from aidocell.errors import InputError, MachineError
from aidocell.files import sha256_file
from aidocell.model import checkpoint_info, load_model
from aidocell.model.hub import answers, is_cached

sys.path.insert(0, str(Path(__file__).parents[1]))
from hub_server import COMMIT, HubServer

FREE, LICENSED = "somebody/tiny", "genbio-ai/AIDO.Cell-Tiny"

PROGRAM = """
import dataclasses, json, sys
from aidocell.model import load_model
print(json.dumps(dataclasses.asdict(load_model(sys.argv[1]).checkpoint)))
"""
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub with two repositories, which the client of this process asks, with an empty cache."""
    with HubServer({FREE: folder, LICENSED: folder}) as server:
        point_at(monkeypatch, server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
        yield server


def point_at(monkeypatch, url):
    """What the client makes of HF_ENDPOINT when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def refused(id, name, **options):
    with pytest.raises(InputError) as caught:
        load_model(name, **options)
    assert caught.value.id == id
    return str(caught.value)


def weights_requests(hub):
    return [r for r in hub.requests if r.startswith("GET") and "pytorch_model.bin" in r]


def test_a_repository_loads_like_its_folder_and_is_known_by_its_commit(hub, folder):
    found, local = checkpoint_info(FREE), checkpoint_info(folder)
    assert (found.id, found.source, found.revision) == (FREE, "hub", COMMIT)
    assert (found.sha256, found.genes_sha256) == (local.sha256, local.genes_sha256)
    assert found.weights_sha256 == sha256_file(folder / "pytorch_model.bin")
    assert load_model(FREE).checkpoint == found


def test_a_look_at_the_hub_fetches_nothing_and_the_cache_outlives_the_hub(hub, monkeypatch):
    assert answers(FREE, None)
    assert not answers("somebody/else", None)
    assert not is_cached(FREE, None)
    assert not weights_requests(hub)
    load_model(FREE)
    point_at(monkeypatch, NOWHERE)
    assert not answers(FREE, None)
    assert is_cached(FREE, None)


def test_the_clients_environment_is_honoured(hub, tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, which the client reads when it is imported."""
    home = str(tmp_path / "home")
    online = in_a_process({"HF_ENDPOINT": hub.url, "HF_HOME": home})
    hub.requests.clear()
    offline = in_a_process({"HF_ENDPOINT": hub.url, "HF_HOME": home, "HF_HUB_OFFLINE": "1"})
    assert online == offline
    assert online["revision"] == COMMIT
    assert hub.requests == []
    assert (tmp_path / "home" / "hub").is_dir()


def in_a_process(environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, FREE],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def test_all_files_are_of_the_commit_and_downloaded_once(hub):
    assert load_model(FREE).checkpoint == load_model(FREE).checkpoint
    assert weights_requests(hub) == [f"GET /{FREE}/resolve/{COMMIT}/pytorch_model.bin"]


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_cached_checkpoint_needs_no_hub(hub, monkeypatch, revision):
    online = load_model(FREE, revision=revision).checkpoint
    point_at(monkeypatch, NOWHERE)
    assert load_model(FREE, revision=revision).checkpoint == online
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(FREE, revision=revision).checkpoint == online


def test_safetensors_are_preferred(hub, folder, tiny):
    shutil.copy(tiny / "model.safetensors", folder)
    load_model(FREE)
    assert weights_requests(hub) == []


@pytest.mark.parametrize("offline", [True, False])
def test_an_unreachable_hub_says_how_to_fetch_elsewhere(hub, monkeypatch, offline):
    point_at(monkeypatch, NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    line = refused("E_MODEL_MISSING", FREE)
    assert f"hf download {FREE}" in line
    assert "folder" in line


def test_an_unknown_repository_or_revision_is_missing(hub):
    assert "somebody/else" in refused("E_MODEL_MISSING", "somebody/else")
    assert "v9" in refused("E_MODEL_MISSING", FREE, revision="v9")


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin"])
def test_a_repository_without_one_of_its_files_is_missing(hub, folder, name):
    (folder / name).unlink()
    assert name in refused("E_MODEL_MISSING", FREE)


def test_the_first_download_of_licensed_weights_asks_for_acceptance(hub):
    line = refused("E_USAGE", LICENSED)
    assert "GenBio AI Community License" in line
    assert "--accept-model-license" in line
    assert "accept_model_license: true" in line
    assert not [r for r in hub.requests if r.startswith("GET") and "resolve" in r]


def test_accepted_weights_are_downloaded_with_a_notice_and_not_asked_for_again(hub, caplog):
    first = load_model(LICENSED, accept_license=True).checkpoint
    assert first.id == LICENSED
    assert "GenBio AI Community License" in caplog.text
    caplog.clear()
    assert load_model(LICENSED).checkpoint == first
    assert "License" not in caplog.text


def test_weights_changed_on_the_way_are_refused(hub, folder):
    content = bytearray((folder / "pytorch_model.bin").read_bytes())
    content[len(content) // 2] ^= 1
    hub.altered["pytorch_model.bin"] = bytes(content)
    assert "delete" in refused("E_MODEL_HASH", FREE)


def test_a_download_cut_short_is_never_loaded(hub, folder):
    content = (folder / "pytorch_model.bin").read_bytes()
    hub.altered["pytorch_model.bin"] = content[: len(content) // 2]
    refused("E_MODEL_HASH", FREE)


def test_a_full_disk_is_not_taken_for_a_missing_checkpoint(hub, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(MachineError, match="E_DISK_FULL"):
        load_model(FREE)

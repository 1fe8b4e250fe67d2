import importlib.util
import shutil
from collections import namedtuple

import psutil
import pytest
import torch
from small import TINY

from aidocell import doctor
from aidocell.doctor import Finding, examine, refusal
from aidocell.model.attention import BACKENDS

Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "free")


@pytest.fixture(scope="module")
def findings():
    return examine()


def by_name(findings) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_this_machine_is_well(findings):
    assert refusal(findings) is None
    assert all(finding.ok for finding in findings)


def test_versions_memory_disk_and_devices_are_looked_at(findings):
    found = by_name(findings)
    assert found["torch"].detail == torch.__version__
    assert found["memory"].detail.endswith("needs at least 2")
    assert {"cores", "disk", "cpu", "gpu" if not torch.cuda.is_available() else "gpu 0"} <= set(
        found
    )


def test_every_backend_is_held_against_the_reference_in_both_precisions(findings):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    looked = {
        f"attention {name}, {p} on {device}" for name in BACKENDS for p in ("float32", "bfloat16")
    }
    looked.remove(f"attention reference, float32 on {device}")
    assert looked <= set(by_name(findings))


def test_differences_are_of_a_network_with_real_weights():
    """Weights that were never set once made them NaN, or zero."""
    exact = doctor._difference("sdpa", "cpu", torch.float32)
    rounded = doctor._difference("reference", "cpu", torch.bfloat16)
    assert 0 < exact < 1e-5 < rounded < 5e-2
    assert exact == doctor._difference("sdpa", "cpu", torch.float32)


@pytest.mark.parametrize("wrong", [lambda q, k, v: v, lambda q, k, v: v * float("nan")])
def test_a_backend_that_computes_something_else_fails(monkeypatch, wrong):
    monkeypatch.setitem(BACKENDS, "sdpa", wrong)
    found = by_name(doctor._backends())["attention sdpa, float32 on cpu"]
    assert not found.ok
    assert "use --attention reference" in found.detail


def test_the_examination_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    list(doctor._backends())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_small_machine_fails(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2**30))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(2**30))
    found = by_name(doctor._machine())
    assert not found["memory"].ok
    assert not found["disk"].ok
    assert found["memory"].line().startswith("FAIL memory: 1.0 GiB free")


def test_a_missing_package_fails_unless_only_the_workflow_needs_it(monkeypatch):
    find = importlib.util.find_spec
    hidden = ("sklearn", "snakemake")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    found = by_name(doctor._versions())
    assert not found["scikit-learn"].ok
    assert "pip install" in found["scikit-learn"].detail
    assert found["snakemake"].ok


def test_a_checkpoint_is_loaded_and_named():
    found = doctor._checkpoint(str(TINY), None, False)
    assert found.ok
    assert "256 genes" in found.detail


def test_a_damaged_checkpoint_is_the_error_of_the_whole(tmp_path):
    shutil.copytree(TINY, tmp_path / "tiny")
    (tmp_path / "tiny" / "config.json").write_text("{}")
    found = doctor._checkpoint(str(tmp_path / "tiny"), None, False)
    assert found.error.id == "E_MODEL_CONFIG"
    assert refusal([Finding("disk", False, "none"), found]) is found.error


def test_what_is_not_well_without_an_error_of_its_own_is_summed_up():
    wrong = [
        Finding("disk", False, "full"),
        Finding("cpu", True, "one"),
        Finding("gpu", False, "hot"),
    ]
    assert str(refusal(wrong)) == (
        "error[E_USAGE]: this machine is not ready: disk, gpu; see the lines that begin with FAIL"
    )


def test_a_finding_is_a_line_for_people_and_plain_values_for_machines():
    finding = Finding("disk", True, "80 GiB")
    assert finding.line() == "ok   disk: 80 GiB"
    assert finding.plain() == {"what": "disk", "ok": True, "detail": "80 GiB"}

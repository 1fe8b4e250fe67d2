import importlib.metadata
import shutil
from collections import namedtuple

import numpy as np
import psutil
import pytest
import torch
import yaml
from small import TINY, make_cells

from aidocell.doctor import Finding, compute, examine, refusal, resources, site
from aidocell.doctor.golden import GOLDEN, compute_golden
from aidocell.doctor.studyfiles import study_files
from aidocell.model.attention import BACKENDS

Memory = namedtuple("Memory", "available total")
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
    exact = compute._difference("sdpa", "cpu", torch.float32)
    rounded = compute._difference("reference", "cpu", torch.bfloat16)
    assert 0 < exact < 1e-5 < rounded < 5e-2
    assert exact == compute._difference("sdpa", "cpu", torch.float32)


@pytest.mark.parametrize("wrong", [lambda q, k, v: v, lambda q, k, v: v * float("nan")])
def test_a_backend_that_computes_something_else_fails(monkeypatch, wrong):
    monkeypatch.setitem(BACKENDS, "sdpa", wrong)
    found = by_name(compute.backends())["attention sdpa, float32 on cpu"]
    assert not found.ok
    assert "use --attention reference" in found.detail


def test_the_examination_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    list(compute.backends())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [lambda q, k, v: v, lambda q, k, v: v * float("nan")])
def test_a_device_that_computes_something_else_fails_the_golden_check(monkeypatch, wrong):
    monkeypatch.setitem(BACKENDS, "sdpa", wrong)
    for finding in compute.golden_check():
        assert not finding.ok
        assert "do not trust this device" in finding.detail


def test_the_stored_golden_output_is_what_the_network_gives():
    made = compute_golden()
    with np.load(GOLDEN) as stored:
        assert np.array_equal(stored["counts"], made["counts"])
        assert np.allclose(stored["embeddings"], made["embeddings"], rtol=0, atol=1e-10)
        spread = np.ptp(stored["embeddings"], axis=0).max() / np.abs(stored["embeddings"]).max()
    assert spread > 0.1  # the cells are told apart by far more than any tolerance


def test_a_small_machine_fails_and_each_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2**30, 2**30))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(2**30))
    found = by_name(resources.machine())
    assert found["memory"].line().startswith("FAIL memory: 1.0 GiB free")
    assert "--mem" in found["memory"].detail
    assert "another disk" in found["disk"].detail
    assert "TMPDIR" in found["disk for temporary files"].detail
    assert "HF_HOME" in found["disk of the hub's cache"].detail


def test_the_memory_that_a_job_may_use_counts_and_not_the_machine_s(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text(f"{2**29}\n")
    (tmp_path / "outer").write_text("max\n")
    files = [tmp_path / "none", tmp_path / "outer", tmp_path / "memory.max"]
    monkeypatch.setattr(resources, "_cgroup_files", lambda: files)
    finding = by_name(resources.machine())["memory"]
    assert not finding.ok
    assert "0.5 GiB allowed by the control group" in finding.detail


def pretend_versions(monkeypatch, **pretended):
    real = importlib.metadata.version

    def version(name):
        found = pretended.get(name.replace("-", "_"), "") or real(name)
        if found == "none":
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(resources, "version", version)


def test_a_missing_package_fails_unless_only_the_workflow_needs_it(monkeypatch):
    pretend_versions(monkeypatch, scikit_learn="none", snakemake="none")
    found = by_name(resources.packages())
    assert not found["scikit-learn"].ok
    assert "pip install" in found["scikit-learn"].detail
    assert found["snakemake"].ok


def test_a_version_that_the_package_does_not_allow_fails(monkeypatch):
    pretend_versions(monkeypatch, h5py="2.0", snakemake_executor_plugin_slurm="1.0.0")
    found = by_name(resources.packages())
    assert "2.0, and" in found["h5py"].detail
    assert "==2.8.0 is needed" in found["snakemake-executor-plugin-slurm"].detail
    assert not found["snakemake-executor-plugin-slurm"].ok


# ---------------------------------------------------------------- Slurm and the hub


@pytest.fixture
def slurm_commands(monkeypatch, tmp_path):
    """Stand-ins for the commands of Slurm, given as shell; those not given are not there."""

    def put(**commands):
        for name, text in commands.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return by_name(site.slurm())

    return put


CONTROLLER = "echo 'SLURM_VERSION = 24.05.1'; echo 'MinJobAge               = {} sec'"


def test_a_machine_without_slurm_is_well(slurm_commands):
    found = slurm_commands()
    assert found["slurm"].ok
    assert "not here" in found["slurm"].detail


@pytest.mark.parametrize(
    ("age", "sacct", "ok", "begins"),
    [
        (300, "exit 0", True, "squeue; squeue remembers ended jobs for 300 s"),
        (300, "exit 1", True, "squeue; squeue remembers ended jobs for 300 s"),
        (60, "exit 0", True, "sacct: set it in the profile"),
        (60, "exit 1", False, "squeue remembers ended jobs for 60 s (MinJobAge), and sacct fails"),
    ],
)
def test_the_status_command_that_works_is_named(slurm_commands, age, sacct, ok, begins):
    found = slurm_commands(sbatch="", squeue="exit 0", sacct=sacct, scontrol=CONTROLLER.format(age))
    assert found["slurm"].detail == "24.05.1"
    assert found["slurm-status-command"].ok == ok
    assert found["slurm-status-command"].detail.startswith(begins)


def test_a_controller_that_does_not_answer_fails(slurm_commands):
    found = slurm_commands(sbatch="", scontrol="exit 1")
    assert not found["slurm"].ok
    assert "controller" in found["slurm"].detail


@pytest.mark.parametrize(
    ("cached", "answers", "ok", "told"),
    [
        (True, True, True, "answers; a/b is cached"),
        (True, False, True, "does not answer for a/b; a/b is cached"),
        (False, True, True, "it is fetched by the rule `model`"),
        (False, False, False, "run `hf download a/b` where the hub answers"),
    ],
)
def test_the_hub_or_its_cache_has_the_checkpoint(monkeypatch, cached, answers, ok, told):
    monkeypatch.setattr(site.hub, "is_cached", lambda *_: cached)
    monkeypatch.setattr(site.hub, "answers", lambda *_: answers)
    (finding,) = site.hub_findings("a/b", None)
    assert finding.ok == ok
    assert told in finding.detail


def test_a_folder_asks_no_hub():
    assert list(site.hub_findings(str(TINY), None)) == []


# ---------------------------------------------------------------- the study


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A working directory with a valid study; the function changes its config and looks again."""
    monkeypatch.chdir(tmp_path)
    make_cells(5).write_h5ad("a.h5ad")
    (tmp_path / "samples.tsv").write_text("sample\tpath\tmetadata\na\ta.h5ad\t\n")

    def look(**keys):
        config = {"samples": "samples.tsv", "model": str(TINY), **keys}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        _, found = study_files("config.yaml")
        return by_name(found)

    return look


def test_a_study_with_all_its_files_is_well(study):
    assert all(finding.ok for finding in study().values())
    assert study()["sample files"].detail == "1, all readable from here"


def test_an_invalid_config_or_sheet_is_its_own_error(study, tmp_path):
    assert study(qc={"min_gene": 5})["config"].error.id == "E_CONFIG"
    (tmp_path / "samples.tsv").write_text("sample\na\n")
    assert study()["sample sheet"].error.id == "E_SHEET"


@pytest.mark.parametrize("text", ["a: [", "- a", "", "\x00"])
def test_a_config_that_is_no_yaml_with_keys_is_told(study, tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text)
    config, (finding,) = study_files("odd.yaml")
    assert config is None
    assert finding.error.id == "E_CONFIG"


def test_every_file_that_cannot_be_read_is_counted_and_three_are_named(study, tmp_path):
    rows = "".join(f"s{n}\tgone{n}.h5ad\tgone.tsv\n" for n in range(4))
    (tmp_path / "samples.tsv").write_text(f"sample\tpath\tmetadata\n{rows}")
    finding = study()["sample files"]
    assert finding.error.id == "E_FILE_MISSING"
    assert "gone0.h5ad of s0 (No such file or directory)" in finding.detail
    assert "and 5 more" in finding.detail


def test_the_checkpoint_of_the_study_is_looked_at_and_not_fetched(study, monkeypatch):
    study(model="nobody/nothing")
    monkeypatch.setattr(site.hub, "answers", lambda *_: True)
    monkeypatch.setattr("aidocell.doctor.backends", lambda: [])
    found = by_name(examine(config="config.yaml"))
    assert "give --model to fetch it now" in found["checkpoint"].detail


# ---------------------------------------------------------------- checkpoint and summary


def test_a_checkpoint_is_loaded_and_named():
    found = site.checkpoint(str(TINY), None, False)
    assert found.ok
    assert "256 genes" in found.detail


def test_a_damaged_checkpoint_is_the_error_of_the_whole(tmp_path):
    shutil.copytree(TINY, tmp_path / "tiny")
    (tmp_path / "tiny" / "config.json").write_text("{}")
    found = site.checkpoint(str(tmp_path / "tiny"), None, False)
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

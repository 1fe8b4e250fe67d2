"""The small study on a real Slurm of one node, with pretend GPUs."""

import shutil
import subprocess

import pytest

from aidocell.manifest import find_damage


def slurm_answers() -> bool:
    if not shutil.which("sinfo"):
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.workflow,
    pytest.mark.skipif(
        not slurm_answers(), reason="no Slurm here; tests/slurm/slurm-up.sh starts one"
    ),
]
# the lab is smaller than a cluster's nodes, and a test cannot wait for cautious polling
SMALL = [
    *("--profile", "slurm", "--jobs", "6", "--latency-wait", "5"),
    *("--slurm-init-seconds-before-status-checks", "5"),
    *("--default-resources", "slurm_partition=cpu", "mem_mb=1500", "runtime=10"),
    *(
        "--set-resources",
        "embed_shard:slurm_partition=gpu",
        "embed_shard:mem_mb=1500",
        "embed_shard:runtime=10",
    ),
]


def jobs_on(partition: str) -> set[str]:
    """Names of the rules whose jobs this partition has seen."""
    listing = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--partition", partition, "--format=%k"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listing.stdout.split())


def test_a_study_on_slurm_gives_the_bytes_of_a_local_run(study, finished_study, root, monkeypatch):
    for name, seed in (("a", 1), ("b", 2)):
        study.add_sample(name, seed=seed)
    study.list_samples("a\ta.h5ad\tx", "b\tb.h5ad\ty", header="sample\tpath\tbatch")
    shutil.copytree(root / "profiles/slurm", study.folder / "slurm")
    monkeypatch.chdir(study.folder)
    study.snakemake(*SMALL)
    assert find_damage(study.results) == []
    for path in study.times("samples/*/embeddings.zarr.zip"):
        assert (study.results / path).read_bytes() == (finished_study.results / path).read_bytes()
    assert any("embed_shard" in comment for comment in jobs_on("gpu"))
    assert any("align" in comment for comment in jobs_on("cpu"))

"""What reaches sbatch from the profile, and from what a site changes in it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import pytest
import yaml
from slurm_lab import NEEDS_SLURM

pytestmark = NEEDS_SLURM
GRES = {"set-resources": {"embed_shard": {"gpu": 0, "gres": "gpu:fake:1"}}}
EVERYTHING = {
    "slurm-reservation": "course",
    "slurm-qos": "long",
    "slurm-requeue": False,
    "slurm-no-requeue": True,
    "slurm-partition-config": "slurm/partitions.yaml",
    "default-resources": {"slurm_partition": None, "constraint": "avx512"},
    "set-resources": {
        "embed_shard": {
            "slurm_partition": None,
            "gpu_model": "fake",
            "slurm_extra": "'--exclude=node7'",
            "cpus_per_task": 8,
        }
    },
}
PARTITIONS = {"short": {"max_runtime": 60}, "big": {"max_runtime": 1440, "max_gpu": 4}}


@pytest.fixture
def sbatch_line(study_copy, root, tmp_path):
    """Options with which the embedding is submitted, by a changed profile."""

    def submit(changes: dict) -> list[str]:
        profile = study_copy.folder / "slurm"
        shutil.copytree(root / "profiles/slurm", profile)
        settings = yaml.safe_load((profile / "config.yaml").read_text())
        quick = {"retries": 0, "slurm-init-seconds-before-status-checks": 1, "latency-wait": 1}
        merge(settings, {**quick, **changes})
        (profile / "config.yaml").write_text(yaml.safe_dump(settings))
        (profile / "partitions.yaml").write_text(yaml.safe_dump({"partitions": PARTITIONS}))
        shutil.rmtree(study_copy.results / "samples/a/shards")
        (study_copy.results / "samples/a/embeddings.zarr.zip").unlink()
        program = tmp_path / "bin/sbatch"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/asked\nexit 1\n')
        program.chmod(0o755)
        command = study_copy.command("--profile", "slurm", "embeddings_only")
        path = f"{program.parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, cwd=study_copy.folder, env=environment, capture_output=True, check=False
        )
        assert (tmp_path / "asked").exists(), done.stderr.decode()[-3000:]
        line = (tmp_path / "asked").read_text().splitlines()[0]
        return shlex.split(line.split(" --wrap=")[0])

    return submit


def merge(settings: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(settings.setdefault(key, {}), value)
        elif value is None:
            settings.pop(key, None)
        else:
            settings[key] = value


def option(line: list[str], name: str) -> str:
    """The value of a short option."""
    return line[line.index(name) + 1]


def test_the_profile_asks_for_a_gpu_memory_time_and_cores(sbatch_line):
    line = sbatch_line({})
    assert option(line, "-p") == "gpu"
    assert (option(line, "--mem"), option(line, "-t")) == ("24000", "120")
    assert {"--gpus=1", "--cpus-per-task=4", "--requeue"} <= set(line)
    assert not [word for word in line if word.startswith("--gres")]


def test_gres_goes_instead_of_gpus_and_never_beside_it(sbatch_line):
    line = sbatch_line(GRES)
    assert "--gres=gpu:fake:1" in line
    assert not [word for word in line if word.startswith("--gpus")]


def test_every_setting_of_a_site_reaches_slurm(sbatch_line):
    line = sbatch_line(EVERYTHING)
    assert option(line, "-p") == "big"
    assert option(line, "-C") == "avx512"
    wanted = {"--qos=long", "--reservation=course", "--gpus=fake:1", "--exclude=node7"}
    assert wanted | {"--cpus-per-task=8", "--no-requeue"} <= set(line)
    assert "--requeue" not in line

"""Processes to be disturbed: commands, jobs of the workflow, and what they work on."""

from __future__ import annotations

import shutil

import pytest
from faults import Faults
from jobs import command_jobs, embed_job, jobs_of_study, shard_job


@pytest.fixture(scope="session")
def faults(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    with Faults.started(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="session")
def embed(faults, tmp_path_factory):
    return embed_job(faults, tmp_path_factory.mktemp("embed"))


@pytest.fixture(scope="session")
def shard(faults, tmp_path_factory):
    return shard_job(faults, tmp_path_factory.mktemp("shard"))


@pytest.fixture(scope="session")
def study_jobs(faults, tmp_path_factory):
    return jobs_of_study(faults, tmp_path_factory.mktemp("study") / "study")


@pytest.fixture(scope="session")
def commands(faults, tmp_path_factory):
    return command_jobs(faults, tmp_path_factory.mktemp("commands"))

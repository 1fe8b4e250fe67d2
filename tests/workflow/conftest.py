"""Studies of two samples: to be run, and run once for all tests that look at the results."""

from __future__ import annotations

import pytest
from studies import Study


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory):
    """Two samples, run once; a test that changes it works on a copy."""
    study = Study(tmp_path_factory.mktemp("finished") / "study")
    study.add_sample("a", seed=1)
    study.add_sample("b", seed=2)
    study.list_samples("a\ta.h5ad\tx", "b\tb.h5ad\ty", header="sample\tpath\tbatch")
    study.snakemake()
    return study


@pytest.fixture
def study_copy(finished_study, tmp_path):
    import shutil

    shutil.copytree(finished_study.folder, tmp_path / "study", symlinks=True)
    copy = Study.__new__(Study)
    copy.folder, copy.results = tmp_path / "study", tmp_path / "study/results"
    return copy

"""Studies of two samples: to be run, and run once for all tests that look at the results."""

from __future__ import annotations

import pytest
from filelock import FileLock
from studies import Study


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory, worker_id):
    """Two samples, run once for all processes of the tests; a test that changes it works on a copy."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with FileLock(shared / "finished.lock"):
        if (shared / "finished/whole").exists():
            return Study.at(shared / "finished/study")
        study = Study(shared / "finished/study")
        study.add_sample("a", seed=1)
        study.add_sample("b", seed=2)
        study.list_samples("a\ta.h5ad\tx", "b\tb.h5ad\ty", header="sample\tpath\tbatch")
        study.snakemake()
        (shared / "finished/whole").touch()
        return study


@pytest.fixture
def study_copy(finished_study, tmp_path):
    import shutil

    shutil.copytree(finished_study.folder, tmp_path / "study", symlinks=True)
    return Study.at(tmp_path / "study")

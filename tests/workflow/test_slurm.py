"""The small study on a real Slurm of one node, with pretend GPUs."""

import shutil

from slurm_lab import NEEDS_SLURM, SMALL, jobs_of

from aidocell.manifest import find_damage

pytestmark = NEEDS_SLURM


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
    assert {job.partition for job in jobs_of(study.folder, "embed_shard")} == {"gpu"}
    assert {job.partition for job in jobs_of(study.folder, "align")} == {"cpu"}

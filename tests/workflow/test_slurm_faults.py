"""Runs on a real Slurm that lose jobs, a node, the controller or Snakemake, and end all the same."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from slurm_lab import NEEDS_SLURM, SMALL, aidocell, done, jobs_of, run, until, urgent_job

from aidocell.manifest import find_damage

pytestmark = [*NEEDS_SLURM, pytest.mark.long, pytest.mark.timeout(3000)]
LIMITS = {"AIDOCELL_SLURM_PREEMPTED_SECONDS": "5", "AIDOCELL_SLURM_LOST_SECONDS": "5"}
LAB = Path(os.environ.get("SLURM_LAB_DIR", "/var/lib/slurm-lab"))
LIVING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
# each shows in the job of a rule that has an end of its own to wait for
PARTITIONS = (
    *("--set-resources", "align:slurm_partition=leftover", "embed_shard:slurm_partition=spare"),
    *("embed_shard:mem_mb=1500", "embed_shard:runtime=10"),
    *("annotate:mem_mb=max(100, 1500 * (attempt - 1))", "annotate:runtime=10"),
)


@pytest.fixture
def slurm_study(study, root):
    """The study of `finished_study`, not yet run, with the profile beside it."""
    for name, seed in (("a", 1), ("b", 2)):
        study.add_sample(name, seed=seed)
    study.list_samples("a\ta.h5ad\tx", "b\tb.h5ad\ty", header="sample\tpath\tbatch")
    shutil.copytree(root / "profiles/slurm", study.folder / "slurm")
    return study


def start(study, target: str, *options: str, path: str = "", **limits: str) -> subprocess.Popen:
    """Snakemake in the study's folder, its output in ``run.log``."""
    environment = {**os.environ, **limits, "PATH": f"{path}{os.environ['PATH']}"}
    with (study.folder / "run.log").open("a") as log:
        return subprocess.Popen(
            study.command(target, *SMALL, *options),
            cwd=study.folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def assert_same_outputs(study, finished_study) -> None:
    """What the undisturbed run made, byte for byte; the report holds how long things took."""
    assert find_damage(study.results) == []
    made = {p.relative_to(finished_study.results) for p in finished_study.results.rglob("*")}
    compared = [
        path
        for path in made
        if path.parts[0] in ("samples", "study") and (finished_study.results / path).is_file()
    ]
    assert len(compared) > 12
    for path in compared:
        assert (study.results / path).read_bytes() == (
            finished_study.results / path
        ).read_bytes(), path
    assert not list(study.results.rglob(".*.tmp*"))


def running(study, rule: str):
    """Wait for a job of the rule to run."""
    return until(lambda: jobs_of(study.folder, rule, "RUNNING"))[0]


def shard_of(job) -> str:
    sample, key, rows = job.rule.split("_")[-3:]
    return f"samples/{sample}/shards/{key}/{rows}.zarr.zip"


def squeue_that_hides(folder: Path) -> Path:
    """A squeue that does not list the jobs in the file ``hidden``, as when they have vanished."""
    folder.mkdir()
    (folder / "hidden").write_text("")
    program = folder / "squeue"
    program.write_text(
        f'#!/bin/sh\n{shutil.which("squeue")} "$@" | grep -v -f "{folder}/hidden" || true\n'
    )
    program.chmod(0o755)
    return folder / "hidden"


def disturb(study, hidden: Path) -> None:
    """One fault a stage, from the first to the last."""
    checks = until(lambda: (found := jobs_of(study.folder, "check", *LIVING))[1:] and found)
    run("scancel", checks[0].id)
    hidden.write_text(f"^{checks[1].id}|\n")
    run("scancel", checks[1].id)
    run("scontrol", "requeue", running(study, "qc").id)
    running(study, "align")
    urgent_job()
    running(study, "embed_shard")
    urgent_job()
    running(study, "embed_shard")
    restart_the_controller()
    running(study, "gather")
    run("scontrol", "update", "nodename=lab01", "state=down", "reason=test")
    until(lambda: not jobs_of(study.folder, "gather", "RUNNING"))
    run("scontrol", "update", "nodename=lab01", "state=resume")


def restart_the_controller() -> None:
    pid = int((LAB / "run/slurmctld.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not _cmdline(pid))
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    threading.Event().wait(12)  # long enough for a query and a submission to fail
    subprocess.run(["slurmctld"], env=environment, check=True)
    until(lambda: subprocess.run(["squeue"], capture_output=True, check=False).returncode == 0)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_run_survives_every_fault_of_its_cluster(slurm_study, finished_study, tmp_path):
    hidden = squeue_that_hides(tmp_path / "bin")
    process = start(
        slurm_study, "all", "--retries", "3", *PARTITIONS, path=f"{hidden.parent}:", **LIMITS
    )
    disturb(slurm_study, hidden)
    until(lambda: done(process), seconds=2400)
    log = (slurm_study.folder / "run.log").read_text()
    assert process.returncode == 0, log[-4000:]
    assert_same_outputs(slurm_study, finished_study)
    assert re.search(r"Slurm job \d+ was left PREEMPTED by Slurm", log)
    assert re.search(r"Slurm job \d+ is not known to Slurm any more", log)
    assert len(jobs_of(slurm_study.folder, "check", "CANCELLED")) == 2
    assert jobs_of(slurm_study.folder, "align", "PREEMPTED")
    assert jobs_of(slurm_study.folder, "annotate", "FAILED", "OUT_OF_MEMORY")
    # requeued ones keep their number: no attempt was used up
    assert len(jobs_of(slurm_study.folder, "qc")) == len(jobs_of(slurm_study.folder, "gather")) == 2
    assert len(jobs_of(slurm_study.folder, "embed_shard")) == 4


def test_a_killed_run_is_recovered_and_goes_on(slurm_study, finished_study):
    folder = slurm_study.folder
    process = start(slurm_study, "all")
    running(slurm_study, "embed_shard")
    second = slurm_study.snakemake(*SMALL, check=False)
    assert second.returncode != 0
    assert "cannot be locked" in second.stderr
    refused = aidocell(folder, "recover", "results")
    assert refused.returncode == 3
    assert f"snakemake (process {process.pid}) is at work" in refused.stderr
    finished = until(lambda: jobs_of(folder, "embed_shard", "COMPLETED"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    # of a job that is cancelled in its last second Snakemake removes the shard
    shards = {shard_of(job): slurm_study.times(shard_of(job)) for job in finished}
    recovered = aidocell(folder, "recover", "results")
    assert recovered.returncode == 0, recovered.stderr
    assert jobs_of(folder, "", *LIVING) == []
    assert "clearing the lock" in recovered.stderr
    assert aidocell(folder, "recover", "results").stderr == ""
    process = start(slurm_study, "all")
    until(lambda: done(process))
    assert process.returncode == 0, (folder / "run.log").read_text()[-4000:]
    assert_same_outputs(slurm_study, finished_study)
    assert {shard: slurm_study.times(shard) for shard in shards} == shards


def test_a_stalled_run_is_stopped_once_its_jobs_are_gone(slurm_study, tmp_path):
    """Without the guard's limit Snakemake would wait here for a job that is nowhere."""
    hidden = squeue_that_hides(tmp_path / "bin")
    patient = {"AIDOCELL_SLURM_LOST_SECONDS": "100000"}
    process = start(slurm_study, "check_only", path=f"{hidden.parent}:", **patient)
    jobs = until(lambda: (found := jobs_of(slurm_study.folder, "check", *LIVING))[1:] and found)
    alive = aidocell(slurm_study.folder, "recover", "results", "--stalled")
    assert alive.returncode == 3
    assert "has not stalled" in alive.stderr
    hidden.write_text("".join(f"^{job.id}|\n" for job in jobs))
    run("scancel", *(job.id for job in jobs))
    until(lambda: not jobs_of(slurm_study.folder, "check", *LIVING))
    recovered = aidocell(
        slurm_study.folder, *("recover", "results", "--stalled", "--silent-minutes", "0")
    )
    assert recovered.returncode == 0, recovered.stderr
    assert "waits for nothing" in recovered.stderr
    until(lambda: done(process))
    slurm_study.snakemake(*SMALL, "--dry-run")

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from aidocell import recover as module
from aidocell import slurmjobs, stalled
from aidocell.errors import MachineError
from aidocell.lock import born
from aidocell.recover import recover
from aidocell.runs import record_of, record_run
from aidocell.temporaries import temporary_beside

RUN = "0b5e2f5e-8f4e-4f0e-9d5f-2f1d4a6c7b8a"
DEAD = 2**22 - 7  # no process has this number


@pytest.fixture
def study(tmp_path):
    """A working directory in which a killed Snakemake has left its locks."""
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a\n")
    (locks / "0.output.lock").write_text("b\n")
    (tmp_path / ".snakemake" / "metadata").mkdir()
    return tmp_path


def locked(folder) -> bool:
    locks = folder / ".snakemake" / "locks"
    return locks.exists() and any(locks.iterdir())


@pytest.fixture
def snakemake(tmp_path_factory):
    """Start something that looks like Snakemake at work in a folder."""
    program = tmp_path_factory.mktemp("bin") / "snakemake"
    program.write_text("import time; print(flush=True); time.sleep(120)")
    started = []

    def start(folder) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(program)], cwd=folder, stdout=subprocess.PIPE
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_lock_of_a_dead_run_is_cleared_and_nothing_else(study):
    recover(study / "results")
    assert not locked(study)
    assert (study / ".snakemake" / "metadata").exists()


def test_a_folder_without_a_lock_is_left_alone(tmp_path):
    recover(tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_living_run_is_kept(study, snakemake):
    process = snakemake(study)
    with pytest.raises(MachineError, match=rf"E_LOCKED.*process {process.pid}\).*{study}.*wait"):
        recover(study / "results")
    assert locked(study)


def test_a_run_in_another_folder_is_of_no_matter(study, snakemake, tmp_path_factory):
    snakemake(tmp_path_factory.mktemp("elsewhere"))
    recover(study / "results")
    assert not locked(study)


def test_a_folder_is_known_by_where_it_is_and_not_by_how_it_is_called(
    study, snakemake, tmp_path_factory
):
    link = tmp_path_factory.mktemp("links") / "study"
    link.symlink_to(study)
    snakemake(study)
    with pytest.raises(MachineError, match="E_LOCKED"):
        recover(link / "results")


def test_a_run_that_died_and_was_not_waited_for_is_dead(study, snakemake):
    process = snakemake(study)
    process.kill()
    time.sleep(0.2)  # a zombie until the fixture waits for it
    recover(study / "results")
    assert not locked(study)


def test_waiting_ends_when_the_run_does(study, snakemake, monkeypatch, caplog):
    process = snakemake(study)
    monkeypatch.setattr(module.time, "sleep", lambda _: (process.kill(), process.wait()))
    with caplog.at_level(logging.INFO, logger="aidocell"):
        recover(study / "results", wait=True)
    assert not locked(study)
    assert f"process {process.pid}" in caplog.messages[0]
    assert "clearing the lock" in caplog.messages[-1]


def test_snakemake_itself_takes_a_recovered_folder_for_unlocked(study):
    """Snakemake's own view of its locks, before and after."""
    (study / "Snakefile").write_text("rule all:\n    output: 'done'\n    shell: 'touch done'\n")
    subprocess.run([sys.executable, "-m", "snakemake", "-c1", "-q", "all"], cwd=study, check=True)
    (study / "done").unlink()
    locks = study / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("done\n")
    command = [sys.executable, "-m", "snakemake", "-c1"]
    refused = subprocess.run(command, cwd=study, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "lock" in refused.stderr.lower()
    recover(study / "results")
    subprocess.run(command, cwd=study, check=True, capture_output=True)
    assert (study / "done").exists()


def test_results_may_be_a_link_to_another_disk(study, tmp_path_factory):
    (study / "results").symlink_to(tmp_path_factory.mktemp("scratch"))
    recover(study / "results")
    assert not locked(study)


# ---------------------------------------------------------------- the record of a run


def test_a_run_says_which_process_it_is(study):
    record_run(study)
    record = json.loads(record_of(study).read_text())
    assert (record["host"], record["pid"]) == (socket.gethostname(), os.getpid())


def test_a_living_run_is_known_by_its_record_too(study):
    """As where it is another user's, whose working directory cannot be seen."""
    code = "from aidocell.runs import record_run; record_run(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=study, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(MachineError, match=rf"E_LOCKED.*process {process.pid}\)"):
            recover(study / "results")
        process.kill()
    recover(study / "results")
    assert not locked(study)
    assert not record_of(study).exists()


def test_a_run_of_another_host_is_left_to_who_knows(study, monkeypatch):
    record_run(study)
    monkeypatch.setattr(socket, "gethostname", lambda: "login7")
    with pytest.raises(MachineError, match=r"E_LOCKED.*on login7|E_LOCKED.*delete") as caught:
        recover(study / "results")
    assert str(record_of(study)) in str(caught.value)
    assert locked(study)
    record_of(study).unlink()
    recover(study / "results")
    assert not locked(study)


def test_a_run_of_another_host_that_ended_in_order_stops_nobody(study, monkeypatch):
    record_run(study)
    monkeypatch.setattr(socket, "gethostname", lambda: "login7")
    for lock in (study / ".snakemake/locks").iterdir():
        lock.unlink()
    recover(study / "results")


# ---------------------------------------------------------------- temporary files


def test_temporary_files_of_dead_writers_are_removed_and_nothing_else(study):
    results = study / "results"
    here = re.search(r"[.]([0-9a-f]{8})-\d+-", temporary_beside(results / "x").name)[1]
    gone = [
        f"a/.qc.parquet.{here}-{DEAD}-0123abcd.tmp",
        f"a/.qc.parquet.0123abcd-{os.getpid()}-0123abcd.tmp",  # of a node
        f"a/.qc.parquet.{here}-{DEAD}-0123abcd.tmp.old",
        f"b/.classifier.{here}-{DEAD}-0123abcd.tmp/part/file",
    ]
    kept = [
        "a/qc.parquet",
        "a/.embeddings.zarr.zip.partial/rows",
        f"a/.qc.parquet.{here}-{os.getpid()}-0123abcd.tmp",
        f"a/qc.parquet.{here}-{DEAD}-0123abcd.tmp",
        f"a/.qc.parquet.{here}-{DEAD}-0123.tmp",
        f"a/.qc.parquet.{here}-{DEAD}-0123abcd.tmp.txt",
        ".tmp",
    ]
    for name in [*gone, *kept]:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("")
    recover(results)
    assert {str(p.relative_to(results)) for p in results.rglob("*") if p.is_file()} == set(kept)
    assert not (results / f"b/.classifier.{here}-{DEAD}-0123abcd.tmp").exists()


# ---------------------------------------------------------------- jobs under Slurm


class Cluster:
    """Stand-ins for squeue and scancel: a file of jobs, and a file of what was asked."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.says()
        program = 'echo "$@" >> {folder}/asked-{name}; [ {name} = squeue ] || : > {folder}/jobs; cat {folder}/jobs'
        for name in ("squeue", "scancel"):
            self.command(name, program.format(folder=folder, name=name))

    def command(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)

    def says(self, *rows: str) -> None:
        (self.folder / "jobs").write_text("".join(f"{row}\n" for row in rows))

    def asked(self, name: str) -> list[str]:
        path = self.folder / f"asked-{name}"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cluster")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Cluster(folder)


@pytest.fixture
def slurm_study(study):
    """A study whose dead run was on Slurm."""
    log = study / ".snakemake/log/2026-11-27T101112.000000.snakemake.log"
    log.parent.mkdir()
    log.write_text(f"Using shell: /bin/bash\nSLURM run ID: {RUN}\nSelect jobs to execute...\n")
    return study


def test_the_slurm_jobs_of_a_dead_run_are_cancelled_first(slurm_study, cluster, caplog):
    cluster.says(f"7|RUNNING|1:02|{RUN}", f"8|PENDING|0:00|{RUN}", "9|RUNNING|1:00|mine")
    with caplog.at_level(logging.INFO, logger="aidocell"):
        recover(slurm_study / "results")
    assert cluster.asked("scancel") == [f"--user={os.getuid()} --name={RUN}"]
    assert caplog.messages == [
        "cancelling 2 Slurm jobs of a run that has died",
        "clearing the lock of a run that has died",
    ]
    assert not locked(slurm_study)


def test_a_second_time_there_is_nothing_to_do(slurm_study, cluster, caplog):
    recover(slurm_study / "results")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="aidocell"):
        recover(slurm_study / "results")
    assert caplog.messages == []
    assert cluster.asked("scancel") == []


def test_jobs_of_other_runs_are_not_touched(slurm_study, cluster):
    cluster.says(f"9|RUNNING|1:00|{RUN[:-1]}9", "10|RUNNING|1:00|interactive")
    recover(slurm_study / "results")
    assert cluster.asked("scancel") == []


def test_a_run_id_with_the_site_s_prefix_is_known(slurm_study, cluster):
    log = next((slurm_study / ".snakemake/log").iterdir())
    log.write_text(log.read_text().replace(RUN, f"core_lab-1_{RUN}"))
    cluster.says(f"7|RUNNING|1:02|core_lab-1_{RUN}")
    recover(slurm_study / "results")
    assert cluster.asked("scancel") == [f"--user={os.getuid()} --name=core_lab-1_{RUN}"]


@pytest.mark.parametrize("id", ["", "*", "$(touch x)", "--all", f"{RUN} --user=root", f"a;b_{RUN}"])
def test_what_is_no_run_id_reaches_no_command(slurm_study, cluster, id):
    next((slurm_study / ".snakemake/log").iterdir()).write_text(f"SLURM run ID: {id}\n")
    cluster.says(f"7|RUNNING|1:02|{id}")
    recover(slurm_study / "results")
    assert cluster.asked("squeue") == cluster.asked("scancel") == []


def test_while_slurm_does_not_answer_the_lock_stays(slurm_study, cluster):
    cluster.command("squeue", "echo 'slurm_load_jobs error' >&2; exit 1")
    with pytest.raises(MachineError, match=r"E_LOCKED.*slurm_load_jobs error.*again"):
        recover(slurm_study / "results")
    assert locked(slurm_study)


def test_jobs_that_do_not_end_are_named(slurm_study, cluster, monkeypatch):
    cluster.says(f"7|COMPLETING|1:02|{RUN}")
    cluster.command("scancel", "exit 1")
    monkeypatch.setattr(slurmjobs, "_PATIENCE", 0)
    with pytest.raises(MachineError, match=r"E_LOCKED.*\(7\)"):
        recover(slurm_study / "results")
    assert locked(slurm_study)


def test_without_slurm_here_the_lock_goes_and_the_jobs_are_told_of(
    slurm_study, monkeypatch, caplog
):
    leftover = slurm_study / f"results/.map.parquet.0123abcd-{DEAD}-0123abcd.tmp"
    leftover.parent.mkdir()
    leftover.write_text("")
    monkeypatch.setattr(module, "has_slurm", lambda: False)
    recover(slurm_study / "results")
    assert "login node" in caplog.text
    assert not locked(slurm_study)
    assert leftover.exists()  # a job that still runs may be its writer


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [("0:00", 0), ("1:02", 62), ("3:00:01", 10801), ("2-01:00:00", 176400), ("INVALID", 0)],
)
def test_squeue_s_times_are_read(slurm_study, cluster, shown, seconds):
    cluster.says(f"7|RUNNING|{shown}|{RUN}")
    assert [job.seconds for job in slurmjobs.living_jobs({RUN})] == [seconds]


# ---------------------------------------------------------------- a run that has stalled


@pytest.fixture
def stalled_study(slurm_study, snakemake, cluster):
    """A living Snakemake, of which and of whose jobs nothing was heard for an hour."""
    job_log = slurm_study / "results/logs/qc/a.log"
    job_log.parent.mkdir(parents=True)
    job_log.write_text("")
    for path in (job_log, next((slurm_study / ".snakemake/log").iterdir())):
        os.utime(path, (time.time() - 3600,) * 2)
    process = snakemake(slurm_study)
    return slurm_study, process, cluster, job_log


@pytest.mark.parametrize("jobs", [[], [f"7|RUNNING|55:00|{RUN}"]])
def test_a_run_that_waits_for_nothing_is_stopped(stalled_study, jobs):
    study, process, cluster, _ = stalled_study
    cluster.says(*jobs)
    recover(study / "results", stalled=True)
    assert born(process.pid) is None
    assert not locked(study)
    assert len(cluster.asked("scancel")) == len(jobs)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (f"7|PENDING|0:00|{RUN}", "its Slurm job 7 is PENDING"),
        (f"7|SUSPENDED|55:00|{RUN}", "its Slurm job 7 is SUSPENDED"),
        (f"7|RUNNING|0:12|{RUN}", "its Slurm job 7 began 12 s ago"),
    ],
)
def test_a_run_whose_jobs_wait_or_begin_has_not_stalled(stalled_study, job, why):
    study, process, cluster, _ = stalled_study
    cluster.says(job)
    with pytest.raises(MachineError, match=f"E_LOCKED.*not stalled: {re.escape(why)}"):
        recover(study / "results", stalled=True)
    assert process.poll() is None


def test_a_run_with_a_fresh_log_has_not_stalled(stalled_study):
    study, process, _, job_log = stalled_study
    job_log.touch()
    with pytest.raises(MachineError, match=r"a log was written \d s ago"):
        recover(study / "results", stalled=True)
    assert process.poll() is None
    recover(study / "results", stalled=True, silent_minutes=0)
    assert not locked(study)


def test_a_run_with_a_job_on_this_host_has_not_stalled(slurm_study, cluster, monkeypatch):
    program = slurm_study / "snakemake"
    program.write_text(
        "import subprocess; job = subprocess.Popen(['sleep', '60']); print(flush=True)\n"
        "try: job.wait()\n"
        "finally: job.kill()\n"
    )
    command = [sys.executable, str(program)]
    monkeypatch.setattr(stalled, "_MOMENT", 0.1)
    with subprocess.Popen(command, cwd=slurm_study, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(MachineError, match="runs a job on this host"):
            recover(slurm_study / "results", stalled=True, silent_minutes=0)
        process.send_signal(signal.SIGINT)


def test_a_stalled_run_that_does_not_heed_ctrl_c_is_killed(
    stalled_study, snakemake, monkeypatch, tmp_path_factory
):
    study, process, _, _ = stalled_study
    process.kill()
    program = tmp_path_factory.mktemp("deaf") / "snakemake"
    program.write_text(
        "import signal, time; signal.signal(2, signal.SIG_IGN); print(flush=True); time.sleep(120)"
    )
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, cwd=study, stdout=subprocess.PIPE) as deaf:
        deaf.stdout.readline()
        monkeypatch.setattr(stalled, "_PATIENCE", 0.2)
        recover(study / "results", stalled=True)
        assert born(deaf.pid) is None


def test_without_a_living_run_stalled_changes_nothing(slurm_study, cluster):
    recover(slurm_study / "results", stalled=True)
    assert not locked(slurm_study)

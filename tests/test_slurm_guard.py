"""The guard between Snakemake's Slurm plugin and Slurm, against the plugin's own code and stand-in commands."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm.job_status_query import (
    query_job_status,
    query_job_status_sacct,
    query_job_status_squeue,
)

from aidocell import slurm
from aidocell.errors import InputError
from aidocell.slurm import Limits, StatusGuard, guard_jobs

RUN = "0b5e2f5e-8f4e-4f0e-9d5f-2f1d4a6c7b8a"
SQUEUE = query_job_status_squeue(RUN)
SACCT = query_job_status_sacct(RUN)


class Cluster:
    """Commands on PATH that answer what a test writes down, and a clock that the test moves."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.now = 0.0
        self.guard = StatusGuard(
            query_job_status, Limits(preempted=60, lost=300), clock=lambda: self.now
        )

    def says(self, *lines: str, status: int = 0) -> None:
        (self.folder / "answer").write_text("".join(f"{line}\n" for line in lines))
        for name in ("squeue", "sacct", "scontrol"):
            program = self.folder / name
            program.write_text(f'#!/bin/sh\ncat "{self.folder}/answer"\nexit {status}\n')
            program.chmod(0o755)

    def states(self, *awaited: str, command: str = SQUEUE, after: float = 0) -> dict[str, str]:
        self.now += after
        self.guard.expect(set(awaited))
        return asyncio.run(self.guard(command, logging.getLogger("guard")))[0]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Cluster(folder)


def test_states_that_say_all_are_passed_on(cluster):
    cluster.says("1|RUNNING", "2|COMPLETED", "3|OUT_OF_MEMORY", "4|PENDING")
    assert cluster.states("1", "2", "3", "4") == {
        "1": "RUNNING",
        "2": "COMPLETED",
        "3": "OUT_OF_MEMORY",
        "4": "PENDING",
    }


def test_a_job_cancelled_by_somebody_is_cancelled(cluster):
    cluster.says("1|CANCELLED by 1000", "2|RUNNING")
    assert cluster.states("1", "2", command=SACCT) == {"1": "CANCELLED", "2": "RUNNING"}


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "REVOKED"])
def test_a_job_that_slurm_has_left_fails_after_a_grace(cluster, state, caplog):
    cluster.says(f"1|{state}", "2|RUNNING")
    assert cluster.states("1", "2")["1"] == state
    assert cluster.states("1", "2", after=40)["1"] == state
    assert cluster.states("1", "2", after=40) == {"1": "FAILED", "2": "RUNNING"}
    assert f"Slurm job 1 was left {state} by Slurm, for 80 s" in caplog.text


def test_a_preempted_job_that_slurm_runs_again_goes_on(cluster):
    cluster.says("1|PREEMPTED")
    cluster.states("1")
    cluster.says("1|PENDING")
    assert cluster.states("1", after=1000) == {"1": "PENDING"}
    cluster.says("1|PREEMPTED")
    cluster.states("1")
    assert cluster.states("1", after=50)["1"] == "PREEMPTED"


def test_a_job_that_vanished_fails_after_a_limit(cluster, caplog):
    cluster.says("1|RUNNING", "2|RUNNING")
    cluster.states("1", "2")
    cluster.says("2|RUNNING")
    assert "1" not in cluster.states("1", "2")
    assert "1" not in cluster.states("1", "2", after=290)
    assert cluster.states("1", "2", after=20) == {"1": "FAILED", "2": "RUNNING"}
    assert "Slurm job 1 is not known to Slurm any more, for 310 s" in caplog.text


def test_a_job_is_not_given_up_by_two_looks_however_long_apart(cluster):
    cluster.says()
    cluster.states("1")
    assert cluster.states("1", after=10_000) == {}
    assert cluster.states("1", after=1) == {"1": "FAILED"}


def test_a_job_that_comes_back_is_not_held_to_have_vanished(cluster):
    cluster.says()
    cluster.states("1")
    cluster.states("1", after=200)
    cluster.says("1|RUNNING")
    cluster.states("1", after=1)
    cluster.says()
    assert cluster.states("1", after=250) == {}


def test_a_task_of_an_array_is_known_by_its_job(cluster):
    cluster.says("7|RUNNING")
    for _ in range(4):
        assert cluster.states("7_3", after=1000) == {"7": "RUNNING"}


def test_a_query_that_fails_keeps_the_jobs_and_is_told_of(cluster, caplog):
    cluster.says("Slurm is away", status=1)
    for _ in range(6):
        assert cluster.states("1", after=1000) == {}
    assert [message.split(";")[0] for message in caplog.messages] == [
        "squeue has failed 3 times in a row",
        "squeue has failed 6 times in a row",
    ]


def test_time_without_an_answer_does_not_make_a_job_lost(cluster):
    cluster.says("1|RUNNING")
    cluster.states("1")
    cluster.says(status=1)
    for _ in range(5):
        cluster.states("1", after=1000)
    cluster.says()
    assert cluster.states("1") == {}


def test_a_missing_command_is_a_failed_query(cluster):
    assert cluster.states("1") == {}


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AIDOCELL_SLURM_LOST_SECONDS", "30.5")
    assert Limits.from_environment() == Limits(lost=30.5)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_of_seconds_is_refused(monkeypatch, value):
    monkeypatch.setenv("AIDOCELL_SLURM_AWAY_SECONDS", value)
    with pytest.raises(InputError, match=r"E_CONFIG.*AIDOCELL_SLURM_AWAY_SECONDS.*seconds"):
        Limits.from_environment()


# ---------------------------------------------------------------- within the plugin


@pytest.fixture
def guarded(monkeypatch):
    """The plugin as it is, with the guard put in for the time of a test."""
    monkeypatch.setattr(plugin, "query_job_status", query_job_status)
    for name in (
        "check_active_jobs",
        "_report_job_error_threadsafe",
        "_report_job_submission_threadsafe",
    ):
        monkeypatch.setattr(plugin.Executor, name, getattr(plugin.Executor, name))
    monkeypatch.setenv("AIDOCELL_SLURM_PREEMPTED_SECONDS", "0")
    monkeypatch.setenv("AIDOCELL_SLURM_LOST_SECONDS", "0")
    guard_jobs()
    return plugin


class Executor(plugin.Executor):
    """The plugin's executor without a workflow behind it."""

    def __init__(self) -> None:
        settings = SimpleNamespace(
            status_attempts=2, init_seconds_before_status_checks=1, status_command="squeue"
        )
        self.workflow = SimpleNamespace(
            executor_settings=settings, scheduler=SimpleNamespace(executor_error_callback=None)
        )
        self.logger = logging.getLogger("executor")
        self.run_uuid = RUN
        self.next_seconds_between_status_checks = 1
        self.failed, self.done = [], []
        self._preemption_warning = False
        self._status_query_calls = self._status_query_failures = 0
        self._status_query_total_seconds = self._status_query_max_seconds = 0.0
        self._status_query_min_seconds = None
        self._status_query_cycle_rows = []
        self._main_event_loop = None

    status_rate_limiter = asyncio.Semaphore(1)

    def report_job_error(self, job_info, msg=None, **kwargs) -> None:
        self.failed.append(job_info.external_jobid)

    def look(self, *ids: str) -> set[str]:
        """One round of status checks; the jobs that are still waited for."""
        jobs = [SimpleNamespace(external_jobid=id, job=id, aux={}) for id in ids]

        async def check():
            return {job.external_jobid async for job in self.check_active_jobs(jobs)}

        return asyncio.run(check())


def test_the_plugin_alone_waits_for_ever_or_forgets(cluster):
    """Why there is a guard; when a release mends this, the guard can go."""
    executor = Executor()
    cluster.says("1|PREEMPTED", "3|CANCELLED by 0")
    for _ in range(5):
        assert executor.look("1", "2", "3") == {"1", "2", "3"}
    cluster.says(status=1)
    assert executor.look("1") == set()
    assert executor.failed == []


def test_in_the_plugin_such_jobs_fail_and_others_are_kept(cluster, guarded):
    executor = Executor()
    cluster.says("1|PREEMPTED", "3|CANCELLED by 0", "4|RUNNING")
    assert executor.look("1", "2", "3", "4") == {"1", "2", "4"}
    assert executor.look("1", "2", "4") == {"1", "2", "4"}
    assert executor.look("1", "2", "4") == {"4"}
    assert sorted(executor.failed) == ["1", "2", "3"]
    cluster.says(status=1)
    assert executor.look("4") == {"4"}


def test_the_guard_is_put_in_once(guarded):
    before = plugin.query_job_status, plugin.Executor.check_active_jobs
    guard_jobs()
    assert (plugin.query_job_status, plugin.Executor.check_active_jobs) == before


def test_an_unknown_version_of_the_plugin_is_left_alone_and_told_of(monkeypatch, capsys):
    monkeypatch.setattr(plugin, "query_job_status", query_job_status)
    monkeypatch.setattr(slurm, "EXAMINED", ("0.0.1",))
    guard_jobs()
    assert plugin.query_job_status is query_job_status
    assert capsys.readouterr().err.count("\n") == 1


class Pool:
    def __init__(self) -> None:
        self.submitted = []

    def submit(self, function, job) -> None:
        self.submitted.append(job)


AWAY = "SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)'."


@pytest.fixture
def submitting(guarded, monkeypatch):
    executor = Executor()
    executor._job_submission_executor = Pool()
    timers = []

    def timer(seconds, function, arguments):
        timers.append(seconds)
        return SimpleNamespace(start=lambda: function(*arguments))

    monkeypatch.setattr(slurm.threading, "Timer", timer)
    executor.timers = timers
    return executor


def refuse(executor, message: str) -> None:
    executor._report_job_error_threadsafe(SimpleNamespace(job="qc", external_jobid="qc"), message)


def test_a_job_that_no_controller_took_is_submitted_again_later(submitting):
    refuse(submitting, AWAY)
    refuse(submitting, AWAY)
    assert submitting.timers == [slurm.SUBMIT_AGAIN] * 2
    assert submitting._job_submission_executor.submitted == ["qc", "qc"]
    assert submitting.failed == []


def test_a_job_that_slurm_refuses_has_failed(submitting):
    refuse(submitting, "sbatch: error: invalid partition specified: spare")
    assert submitting.failed == ["qc"]
    assert submitting.timers == []


def test_a_controller_that_stays_away_fails_the_job_in_the_end(submitting, monkeypatch):
    now = slurm.time.monotonic()
    refuse(submitting, AWAY)
    monkeypatch.setattr(slurm.time, "monotonic", lambda: now + 3700)
    refuse(submitting, AWAY)
    assert submitting.failed == ["qc"]

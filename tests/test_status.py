"""Results folders as runs leave them, with real processes that are killed or stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from small import ROOT

from aidocell.endofrun import failed_jobs, sum_up
from aidocell.errors import InputError
from aidocell.joblines import read_log
from aidocell.joblog import job_log
from aidocell.status import read_status
from aidocell.statustext import describe, plain

KEY = "0123456789ab"
STARTED = "2026-11-27 04:00:00 INFO [a] started on node7, process 12, Slurm job 4711\n"
DONE = STARTED + "2026-11-27 04:05:00 INFO [a] done\n"
FAILED = STARTED + "2026-11-27 04:05:00 ERROR [a] error[E_MEMORY]: too small; give the job more\n"
HALFWAY = (
    STARTED + "2026-11-27 04:04:00 INFO [a] Rows 0-100: 40 of 100 cells, 2 cells/s, 0:00:30 left\n"
)


pytestmark = pytest.mark.usefixtures("plain_logging")


class Results:
    """A results folder to be filled."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def write(self, name, text="x", *, minutes_old=0):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        then = time.time() - 60 * minutes_old
        os.utime(path, (then, then))
        return path

    def plan(self, sample, shards, *, key=KEY, minutes_old=10):
        for output in ("audit.json", "qc.parquet", "counts.zarr.zip"):
            self.write(f"samples/{sample}/{output}", minutes_old=minutes_old)
        rows = [[100 * n, 100 * n + 100] for n in range(shards)]
        plan = json.dumps({"key": key, "cells": 100 * shards, "shards": rows})
        self.write(f"samples/{sample}/shards.json", plan, minutes_old=minutes_old)

    def shard(self, sample, rows, *, key=KEY):
        self.write(f"samples/{sample}/shards/{key}/{rows}.zarr.zip")

    def log(self, sample, rows, text, *, minutes_old=0, key=KEY):
        return self.write(
            f"logs/embed_shard/{sample}/{key}/{rows}.log", text, minutes_old=minutes_old
        )

    def shards(self, sample="a", **options):
        """States of the shards of a sample by their rows."""
        found = read_status(self.folder, **options)
        (sample,) = (s for s in found.samples if s.name == sample)
        return {shard.rows: shard.state for shard in sample.shards}


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


# ---------------------------------------------------------------- states


def test_shards_are_finished_running_failed_silent_or_waiting(results):
    results.plan("a", 6)
    results.shard("a", "0-100")
    results.log("a", "100-200", STARTED)
    results.log("a", "200-300", FAILED)
    results.log("a", "300-400", STARTED, minutes_old=6)
    results.log("a", "400-500", DONE)  # its output was deleted since
    assert results.shards() == {
        "0-100": "finished",
        "100-200": "running",
        "200-300": "failed",
        "300-400": "silent",
        "400-500": "waiting",
        "500-600": "waiting",
    }
    assert results.shards(silent_minutes=10)["300-400"] == "running"


def test_a_shard_of_an_earlier_plan_is_not_counted(results):
    results.plan("a", 1)
    results.shard("a", "0-100", key="ba9876543210")
    results.log("a", "0-100", FAILED, key="ba9876543210")
    assert results.shards() == {"0-100": "waiting"}


def test_embeddings_older_than_the_plan_are_still_to_be_gathered(results):
    results.plan("a", 1, minutes_old=5)
    results.write("samples/a/embeddings.zarr.zip", minutes_old=9)
    (sample,) = read_status(results.folder).samples
    assert sample.stages["gather"].state == "waiting"
    results.write("samples/a/embeddings.zarr.zip")
    (sample,) = read_status(results.folder).samples
    assert sample.stages["gather"].state == "finished"


def test_a_bug_and_a_signal_are_failures_and_an_error_line_in_between_is_none(results):
    path = results.write("x.log")
    with pytest.raises(ValueError, match="odd"), job_log(path):
        raise ValueError("odd\nsecond line")
    assert read_log(path).line == "a bug: ValueError: odd"
    path.write_text(STARTED + "2026-11-27 04:00:00 ERROR [a] stopped by signal 15\n")
    assert read_log(path).line == "stopped by signal 15"
    path.write_text(STARTED + "2026-11-27 04:00:00 ERROR sample a is refused: E_SHEET: odd\n")
    assert read_log(path).state == "open"


def test_a_refused_sample_waits_for_nothing(results):
    results.write("admission.tsv", "sample\taccepted\ngood\tyes\nbad\tno\n")
    for name in ("good", "bad"):
        results.write(f"samples/{name}/audit.json")
    counts = read_status(results.folder).counts()
    assert counts["check"]["finished"] == 2
    assert counts["qc"]["waiting"] == 1
    assert "2 samples, 1 refused, 1 without a plan yet" in describe(read_status(results.folder))


# ---------------------------------------------------------------- cells and time


def test_cells_done_rate_and_time_left_add_up_over_running_jobs(results):
    results.plan("a", 4)
    results.shard("a", "0-100")
    results.log("a", "100-200", HALFWAY)
    results.log("a", "200-300", HALFWAY)
    found = read_status(results.folder)
    assert (found.cells, found.cells_done, found.rate) == (400, 180, 4.0)
    assert found.seconds_left == 55
    assert "180 of 400 planned cells embedded (45%), 4 cells/s now, 0:00:55 left" in describe(found)


def test_a_running_job_that_tells_no_rate_yet_is_taken_to_be_as_fast_as_finished_ones(results):
    results.plan("a", 3)
    results.shard("a", "0-100")
    results.write(f"benchmarks/embed_shard/a/{KEY}/0-100.tsv", "s\th:m:s\n50.0\t0:00:50\n")
    results.log("a", "100-200", STARTED)
    found = read_status(results.folder)
    assert found.rate == 2.0
    assert found.seconds_left == 100


def test_without_a_running_job_no_time_is_told(results):
    results.plan("a", 2)
    results.shard("a", "0-100")
    found = read_status(results.folder)
    assert found.seconds_left is None
    assert "none being embedded now" in describe(found)


# ---------------------------------------------------------------- odd folders


def test_an_empty_folder_has_a_status(results):
    assert "0 samples" in describe(read_status(results.folder))
    assert plain(read_status(results.folder))["samples"] == []


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"E_FILE_MISSING.*give the results folder"):
        read_status(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"key": 1, "shards": 5}', '{"shards": [[1]]}']
)
def test_a_plan_that_is_none_is_named_and_stops_nothing(results, text):
    results.plan("a", 1)
    results.plan("b", 1)
    results.shard("b", "0-100")
    results.write("samples/a/shards.json", text)
    found = read_status(results.folder)
    assert [job.name for job in found.jobs if job.state == "failed"] == ["plan a"]
    assert "E_STORE_DAMAGED" in describe(found)
    assert found.cells_done == 100


def test_half_made_files_and_foreign_things_stop_nothing(results):
    results.plan("a", 2)
    results.write(f"samples/a/shards/{KEY}/.0-100.zarr.zip.12-ab.tmp")
    results.log("a", "0-100", "\x00\xff half a li")
    (results.folder / f"logs/embed_shard/a/{KEY}/100-200.log").mkdir()
    os.mkfifo(results.folder / "logs/report.log")
    results.write("admission.tsv", "not\ta table")
    assert results.shards() == {"0-100": "running", "100-200": "waiting"}


def test_names_and_lines_that_hold_control_characters_move_no_cursor(results):
    name = "a\x1b[2J\nb"
    results.plan(name, 1)
    results.log(name, "0-100", FAILED.replace("too small", "\x1b[2J\x07too"))
    shown = describe(read_status(results.folder))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "\\x1b[2J\\nb" in shown
    json.loads(json.dumps(plain(read_status(results.folder))))


def test_a_thousand_shards_of_fifty_samples_are_counted(results):
    for n in range(50):
        results.plan(f"s{n}", 20)
        for start in range(0, 1000, 100):
            results.shard(f"s{n}", f"{start}-{start + 100}")
            results.log(f"s{n}", f"{start + 1000}-{start + 1100}", FAILED)
    counts = read_status(results.folder).counts()["embed_shard"]
    assert counts == {"finished": 500, "failed": 500}
    shown = describe(read_status(results.folder))
    assert "and 30 more" in shown
    assert "and 450 more" in shown


# ---------------------------------------------------------------- real processes

JOB = """
import sys, time
from aidocell import joblog

joblog._SECONDS_BETWEEN_BEATS = 0.05
with joblog.job_log(sys.argv[1], sample="a", shard="0-100"):
    print("ready", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def job(results):
    """A job at work on the shard of sample a."""
    results.plan("a", 1)
    path = results.log("a", "0-100", "of an earlier attempt\n" + DONE)
    words = [sys.executable, "-c", JOB, str(path)]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.log = path
        yield process
        process.kill()


def touched_again(path) -> bool:
    """Whether a process gives signs of life within a few beats."""
    os.utime(path, (1e9, 1e9))
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if path.stat().st_mtime != 1e9:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_job_that_is_killed_or_stopped_gives_no_sign_of_life_and_is_silent(results, job, number):
    assert touched_again(job.log)
    assert results.shards() == {"0-100": "running"}
    job.send_signal(number)
    time.sleep(0.2)
    assert not touched_again(job.log)
    assert results.shards() == {"0-100": "silent"}
    shown = describe(read_status(results.folder))
    assert "no sign of life for 5 minutes" in shown
    assert f"aidocell recover {results.folder} --stalled" in shown


def test_a_silent_slurm_job_is_named_with_the_command_that_asks_for_it(results):
    results.plan("a", 1)
    results.log("a", "0-100", STARTED, minutes_old=30)
    shown = describe(read_status(results.folder))
    assert "Slurm job 4711 on node7" in shown
    assert "`squeue -j 4711`" in shown
    (job,) = plain(read_status(results.folder))["jobs"]["silent"]
    assert job["slurm_job"] == "4711"
    assert job["seconds_since_sign_of_life"] >= 1800


# ---------------------------------------------------------------- the end of a run

SNAKEMAKE_LOG = """\
[Fri Nov 27 04:38:20 2026]
Error in rule embed_shard:
    message: None
    jobid: 12
    input: results/samples/a/counts.zarr.zip, results/samples/a/shards.json
    output: {0}/samples/a/shards/0123456789ab/{1}.zarr.zip
    log: {0}/logs/embed_shard/a/0123456789ab/{1}.log, {0}/slurm/{1}.log (check log file(s) for error details)
Execute 1 jobs...
"""


def failures(results, *rows, since) -> dict[str, str]:
    """First line of each failed job, by the rows in the name of its log."""
    text = "".join(SNAKEMAKE_LOG.format(results.folder, row) for row in rows)
    log = results.write("snakemake.log", "Building DAG of jobs...\n" + text)
    return {j.path.stem: j.log.line for j in failed_jobs(results.folder, [log], since=since)}


def test_the_failed_jobs_of_this_run_are_those_that_are_told(results):
    results.plan("a", 9)
    results.log("a", "0-100", FAILED, minutes_old=30)  # of an earlier run
    results.log("a", "100-200", FAILED)
    results.log("a", "200-300", STARTED)  # killed
    results.log("a", "300-400", DONE)
    results.shard("a", "300-400")  # a later attempt came through
    results.log("a", "400-500", DONE)  # done, and Snakemake misses its output
    rows = ("100-200", "200-300", "300-400", "400-500", "500-600")
    slurm = results.folder / "slurm"
    assert failures(results, *rows, since=time.time() - 600) == {
        "100-200": "error[E_MEMORY]: too small; give the job more",
        "200-300": f"killed or lost: see {slurm}/200-300.log",
        "400-500": f"failed after its last line: see {slurm}/400-500.log",
        "500-600": f"failed before its first line: see {slurm}/500-600.log",
    }


def test_a_study_that_is_not_admitted_is_among_the_failed_jobs(results):
    results.write("samples/a/audit.json")
    refused = "2026-11-27 04:00:01 ERROR sample a is refused: E_NEGATIVE: a.h5ad; give counts\n"
    line = "error[E_NEGATIVE]: 1 of 1 samples are refused, first a: a.h5ad; give counts"
    results.write("logs/admit.log", f"{refused}2026-11-27 04:00:02 ERROR {line}\n")
    assert failures(results, since=time.time() - 600) == {"admit": line}
    assert read_status(results.folder).study["admit"].log.error == "E_NEGATIVE"


def test_the_summary_is_one_table_on_stderr(results, capsys):
    results.plan("a", 1)
    results.log("a", "0-100", FAILED, minutes_old=-10)
    sum_up(results.folder, [results.write("snakemake.log", "")])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "failed jobs: 1"
    assert lines[1].split() == ["job", "error", "first", "line", "log"]
    assert lines[2].startswith("embed_shard a 0-100  E_MEMORY  error[E_MEMORY]: too small")


def test_a_summary_that_cannot_be_made_hides_nothing(tmp_path, capsys):
    sum_up(tmp_path / "nothing", [tmp_path / "no.log"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be summed up" in line
    assert "no.log" in line

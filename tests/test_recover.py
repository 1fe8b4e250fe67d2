import logging
import subprocess
import sys
import threading
import time

import pytest

from aidocell import recover as module
from aidocell.errors import MachineError
from aidocell.recover import recover


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
    recover(study)
    assert not locked(study)
    assert (study / ".snakemake" / "metadata").exists()


def test_a_folder_without_a_lock_is_left_alone(tmp_path):
    recover(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_living_run_is_kept(study, snakemake):
    process = snakemake(study)
    with pytest.raises(MachineError, match=rf"E_LOCKED.*process {process.pid}\).*{study}.*wait"):
        recover(study)
    assert locked(study)


def test_a_run_in_another_folder_is_of_no_matter(study, snakemake, tmp_path_factory):
    snakemake(tmp_path_factory.mktemp("elsewhere"))
    recover(study)
    assert not locked(study)


def test_a_folder_is_known_by_where_it_is_and_not_by_how_it_is_called(
    study, snakemake, tmp_path_factory
):
    link = tmp_path_factory.mktemp("links") / "study"
    link.symlink_to(study)
    snakemake(study)
    with pytest.raises(MachineError, match="E_LOCKED"):
        recover(link)


def test_a_run_that_died_and_was_not_waited_for_is_dead(study, snakemake):
    process = snakemake(study)
    process.kill()
    time.sleep(0.2)  # a zombie until the fixture waits for it
    recover(study)
    assert not locked(study)


def test_waiting_ends_when_the_run_does(study, snakemake, monkeypatch, caplog):
    process = snakemake(study)
    pause = time.sleep
    monkeypatch.setattr(module.time, "sleep", lambda _: pause(0.05))
    threading.Timer(0.3, process.kill).start()
    with caplog.at_level(logging.INFO, logger="aidocell"):
        recover(study, wait=True)
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
    recover(study)
    subprocess.run(command, cwd=study, check=True, capture_output=True)
    assert (study / "done").exists()

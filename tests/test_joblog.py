import errno
import logging
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest
from small import ROOT

from aidocell import joblog
from aidocell.errors import InputError, MachineError
from aidocell.joblog import configure_logging, job_log

pytestmark = pytest.mark.usefixtures("plain_logging")


def run_and_fail(path, error):
    with job_log(path):
        raise error


def test_a_job_logs_to_its_file_and_to_stderr(tmp_path, capsys):
    with job_log(tmp_path / "job.log"):
        logging.getLogger("aidocell.counts").info("read %d cells", 5)
    text = (tmp_path / "job.log").read_text()
    assert capsys.readouterr().err == text
    first, middle, last = text.splitlines()
    assert first[4] == first[7] == "-"  # begins with the date
    assert first.endswith(f"process {os.getpid()}")
    assert middle.endswith(" INFO read 5 cells")
    assert last.endswith(" INFO done")


def test_a_log_holds_one_run(tmp_path):
    (tmp_path / "job.log").write_text("of yesterday")
    with job_log(tmp_path / "job.log"):
        pass
    assert "yesterday" not in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize(("kind", "status"), [(InputError, 2), (MachineError, 3)])
def test_an_error_of_the_user_s_ends_a_job_with_its_line_and_status(tmp_path, capsys, kind, status):
    with pytest.raises(SystemExit) as ended:
        run_and_fail(tmp_path / "job.log", kind("E_LOCKED", "held", fix="wait"))
    assert ended.value.code == status
    for text in ((tmp_path / "job.log").read_text(), capsys.readouterr().err):
        assert text.endswith(" ERROR error[E_LOCKED]: held; wait\n")
        assert "Traceback" not in text


def test_a_bug_goes_on_and_its_traceback_is_in_the_log(tmp_path):
    with pytest.raises(RuntimeError, match="odd"):
        run_and_fail(tmp_path / "job.log", RuntimeError("odd"))
    text = (tmp_path / "job.log").read_text()
    assert "please report it" in text
    assert "Traceback" in text
    assert text.endswith("RuntimeError: odd\n")


def test_the_first_line_names_the_slurm_job(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with job_log(tmp_path / "job.log"):
        pass
    assert (tmp_path / "job.log").read_text().splitlines()[0].endswith(", Slurm job 4711")


def test_every_line_names_sample_and_shard(tmp_path):
    with job_log(tmp_path / "job.log", sample="spleen", shard="0-25"):
        logging.getLogger("aidocell.sharding").warning("left out 3 cells")
    lines = (tmp_path / "job.log").read_text().splitlines()
    assert len(lines) == 3
    assert all(" [spleen 0-25] " in line for line in lines)


@pytest.mark.parametrize(
    ("refusal", "id"),
    [
        (MemoryError(), "E_MEMORY"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "E_MEMORY"),
        (OSError(errno.ENOSPC, "No space left on device"), "E_DISK_FULL"),
    ],
)
def test_a_refusal_of_the_machine_ends_a_job_with_status_3(tmp_path, refusal, id):
    with pytest.raises(SystemExit) as ended:
        run_and_fail(tmp_path / "job.log", refusal)
    assert ended.value.code == 3
    assert f" ERROR error[{id}]: " in (tmp_path / "job.log").read_text().splitlines()[-1]


def test_a_bug_s_message_cannot_forge_a_log_line(tmp_path):
    with pytest.raises(ValueError, match="odd"):
        run_and_fail(tmp_path / "job.log", ValueError("odd\n2026-01-01 00:00:00 INFO done"))
    lines = (tmp_path / "job.log").read_text().splitlines()
    assert all(line.startswith("  ") for line in lines[2:])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_goes_through(tmp_path, error):
    with pytest.raises(error):
        run_and_fail(tmp_path / "job.log", error())


def test_an_interrupt_is_the_last_line(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_and_fail(tmp_path / "job.log", KeyboardInterrupt())
    assert (tmp_path / "job.log").read_text().endswith(" ERROR stopped by signal 2\n")


def test_the_log_of_a_living_job_is_touched_until_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(joblog, "_SECONDS_BETWEEN_BEATS", 0.02)
    path = tmp_path / "job.log"
    with job_log(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 0
    os.utime(path, (0, 0))
    time.sleep(0.1)
    assert path.stat().st_mtime == 0


def test_a_job_of_an_earlier_attempt_that_lives_on_writes_and_touches_no_later_log(tmp_path):
    path = tmp_path / "job.log"
    with job_log(path):
        early = logging.getLogger().handlers[:]
        logging.getLogger().handlers.clear()  # not closed: another process would not do so either
        with job_log(path):
            for handler in early:
                handler.emit(logging.makeLogRecord({"msg": "of the earlier one"}))
    assert "earlier" not in path.read_text()
    for handler in early:
        handler.close()


def fill_disk_and_fail(path, error):
    with job_log(path), open("/dev/full", "w") as full:  # noqa: PTH123
        (handler,) = (h for h in logging.getLogger().handlers if hasattr(h, "baseFilename"))
        handler.setStream(full)
        raise error


def test_a_log_on_a_full_disk_hides_no_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        fill_disk_and_fail(tmp_path / "job.log", InputError("E_SHEET", "odd", fix="mend"))
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "error[E_SHEET]: odd; mend" in err
    assert err.count("cannot be written") == 1
    assert "Traceback" not in err


JOB = """
import sys, time
from aidocell.files import atomic
from aidocell.joblog import job_log

with job_log(sys.argv[1]), atomic(sys.argv[2]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_sigterm_leaves_its_line_and_status_and_nothing_half_made(tmp_path):
    words = [sys.executable, "-c", JOB, str(tmp_path / "job.log"), str(tmp_path / "out")]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        job.stdout.readline()
        job.send_signal(signal.SIGTERM)
        job.send_signal(signal.SIGTERM)  # Slurm and Snakemake may each send one
        job.communicate(timeout=60)
    assert job.returncode == 143
    assert (tmp_path / "job.log").read_text().endswith(" ERROR stopped by signal 15\n")
    assert [path.name for path in tmp_path.iterdir()] == ["job.log"]


def test_a_name_cannot_forge_a_log_line(tmp_path):
    configure_logging(tmp_path / "job.log")
    logging.getLogger("aidocell").warning("cell %s", "a\n2026-01-01 00:00:00 INFO done\x1b[2J")
    (line,) = (tmp_path / "job.log").read_text().splitlines()
    assert "\\n2026" in line
    assert "\\x1b" in line


def test_a_name_that_is_not_utf8_can_be_logged(tmp_path):
    configure_logging(tmp_path / "job.log")
    logging.getLogger("aidocell").warning("file M\udcfcller.h5ad")
    assert "M\\udcfcller" in (tmp_path / "job.log").read_text()


def test_quiet_leaves_warnings_and_other_packages_speak_from_warnings_on(capsys):
    configure_logging(level=logging.WARNING)
    logging.getLogger("aidocell").info("own info")
    logging.getLogger("aidocell").warning("own warning")
    logging.getLogger("zarr").info("other info")
    logging.getLogger("zarr").warning("other warning")
    err = capsys.readouterr().err
    assert "own warning" in err
    assert "other warning" in err
    assert "info" not in err


def test_setting_up_twice_gives_each_line_once(capsys):
    configure_logging()
    configure_logging()
    logging.getLogger("aidocell").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_setting_up_again_closes_the_file_of_before(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        configure_logging(tmp_path / "a.log")
        configure_logging(tmp_path / "b.log")
        logging.getLogger("aidocell").info("x")
    assert (tmp_path / "a.log").read_text() == ""

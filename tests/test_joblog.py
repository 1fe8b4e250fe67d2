import logging
import warnings

import pytest

from aidocell.errors import InputError, MachineError
from aidocell.joblog import configure_logging, job_log


@pytest.fixture(autouse=True)
def plain_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logging.getLogger("aidocell").setLevel(logging.NOTSET)


def run_and_fail(path, error):
    with job_log(path):
        raise error


def test_a_job_logs_to_its_file_and_to_stderr(tmp_path, capsys):
    with job_log(tmp_path / "job.log"):
        logging.getLogger("aidocell.counts").info("read %d cells", 5)
    text = (tmp_path / "job.log").read_text()
    assert capsys.readouterr().err == text
    first, last = text.splitlines()
    assert first.endswith(" INFO read 5 cells")
    assert first[4] == first[7] == "-"  # begins with the date
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


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_goes_through(tmp_path, error):
    with pytest.raises(error):
        run_and_fail(tmp_path / "job.log", error())


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

import itertools
import os
import subprocess
import sys
import threading
import time

from aidocell.files import atomic
from aidocell.temporaries import NAME_ADDED, remove, temporary_beside

CODE = """
import os, signal, sys
from pathlib import Path
from aidocell.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    folder = temporary.with_name(temporary.name + ".folder")
    folder.mkdir()
    (folder / "chunk").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def be_killed_while_writing(path):
    subprocess.run([sys.executable, "-c", CODE, str(path)], check=False)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path):
    with atomic(path) as temporary:
        temporary.write_text("whole")


def test_what_a_killed_writer_left_is_deleted_by_the_next(tmp_path):
    be_killed_while_writing(tmp_path / "out")
    assert len(names(tmp_path)) == 2
    write(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_what_belongs_to_another_output_or_to_nobody_known_stays(tmp_path):
    be_killed_while_writing(tmp_path / "out.2")
    (tmp_path / ".out.tmp").touch()
    (tmp_path / ".out.12345678-1-abc.tmp").touch()
    before = names(tmp_path)
    write(tmp_path / "out")
    assert names(tmp_path) == sorted([*before, "out"])


def test_what_a_living_writer_uses_stays(tmp_path):
    with atomic(tmp_path / "out") as first:
        first.write_text("first")
        write(tmp_path / "out")
        assert first.exists()
    assert (tmp_path / "out").read_text() == "first"


def test_what_another_host_left_stays_for_a_day(tmp_path):
    left = tmp_path / ".out.00000000-1-12345678.tmp"
    left.touch()
    write(tmp_path / "out")
    assert left.exists()
    old = time.time() - 25 * 3600
    os.utime(left, (old, old))
    write(tmp_path / "out")
    assert not left.exists()


def test_a_temporary_name_is_no_longer_than_foreseen(tmp_path):
    longest = temporary_beside(tmp_path / "x").name + ".folder"
    assert len(longest) - 1 <= NAME_ADDED


def test_a_folder_that_a_thread_still_fills_is_deleted(tmp_path):
    folder = tmp_path / "filling"
    folder.mkdir()
    (folder / "first").touch()
    ended = threading.Event()

    def fill():
        for number in itertools.count():
            if ended.wait(0.0005) or number > 300:
                return
            try:
                (folder / f"chunk{number}").touch()
            except FileNotFoundError:
                return

    thread = threading.Thread(target=fill)
    thread.start()
    remove(folder)
    ended.set()
    thread.join()
    assert not folder.exists()


def test_a_folder_whose_files_vanish_meanwhile_is_removed(tmp_path, monkeypatch):
    (tmp_path / "folder/within").mkdir(parents=True)
    for number in range(20):
        (tmp_path / "folder/within" / str(number)).touch()
    unlink = os.unlink

    def after_somebody_else(name, *, dir_fd=None):
        unlink(name, dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", after_somebody_else)
        remove(tmp_path / "folder")
    assert names(tmp_path) == []

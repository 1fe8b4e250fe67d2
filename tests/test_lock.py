import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from aidocell import lock
from aidocell.errors import MachineError
from aidocell.lock import hold


def owner(**changed) -> str:
    """Content of the lock of this very process, with changes."""
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "born": lock.born(os.getpid())}
    return json.dumps({**mine, **changed})


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".out.lock"


def test_a_lock_is_there_while_the_body_runs_and_nothing_is_left(path):
    with hold(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert list(path.parent.iterdir()) == [path]
    assert list(path.parent.iterdir()) == []


def test_a_lock_is_released_when_the_body_fails(path):
    with pytest.raises(ZeroDivisionError), hold(path):
        raise ZeroDivisionError
    assert not path.exists()


def test_the_folder_of_a_lock_is_made(tmp_path):
    with hold(tmp_path / "new" / "er" / ".lock"):
        assert (tmp_path / "new" / "er" / ".lock").exists()


def test_a_lock_that_a_full_disk_cannot_take_is_told_and_leaves_nothing(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(MachineError, match=r"E_DISK_FULL.*\.out\.lock"), hold(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_living_process_keeps_its_lock(path):
    with (
        hold(path),
        pytest.raises(MachineError, match=rf"E_LOCKED.*process {os.getpid()}.*wait"),
        hold(path),
    ):
        pass


def test_a_refused_taker_leaves_the_lock_as_it_was(path):
    path.write_text(owner())
    with pytest.raises(MachineError), hold(path):
        pass
    assert path.read_text() == owner()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("changed", [{"pid": 2**22 - 7}, {"born": "an earlier boot 5"}])
def test_the_lock_of_a_dead_process_is_taken_over(path, changed):
    path.write_text(owner(**changed))
    with hold(path):
        assert path.read_text() == owner()


def test_the_lock_of_a_killed_process_is_taken_over_also_before_it_was_waited_for(path):
    code = (
        "import sys, time; from aidocell.lock import hold\nwith hold(sys.argv[1]): time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(MachineError, match=f"process {process.pid} holds"), hold(path):
        pass
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
    with hold(path):
        assert path.read_text() == owner()
    process.wait()


def test_the_lock_of_another_host_is_kept_and_the_way_to_clear_it_told(path):
    path.write_text(owner(host="node17", pid=2**22 - 7))
    with (
        pytest.raises(
            MachineError, match=r"E_LOCKED.*4194297 on node17.*has ended.*delete"
        ) as held,
        hold(path),
    ):
        pass
    assert str(path) in held.value.fix
    assert held.value.exit_status == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"{", b"[]", b"{}", b"7", b'{"host": "h"}', b'{"host": "h", "pid": "x", "born": 1}',
     b'{"host": "h", "pid": null, "born": 1}'],
)  # fmt: skip
def test_a_lock_that_names_no_owner_is_kept_and_the_way_to_clear_it_told(path, content):
    path.write_bytes(content)
    with pytest.raises(MachineError, match=r"E_LOCKED.*does not say.*delete that file"), hold(path):
        pass
    assert path.read_bytes() == content


def test_a_folder_in_the_lock_s_place_is_told(path):
    path.mkdir()
    with pytest.raises(MachineError, match=r"E_LOCKED.*cannot be read"), hold(path):
        pass


def test_a_process_has_one_birth_and_a_dead_one_none():
    assert lock.born(os.getpid()) == lock.born(os.getpid())
    assert lock.born(os.getpid()) != lock.born(os.getppid())
    assert lock.born(2**22 - 7) is None


class Takers:
    """Takers of one lock: who got it, keeping it until `losers` others were refused."""

    def __init__(self, path, *, losers: int):
        self.path, self.losers = path, losers
        self.held, self.refused, self.enough = [], [], threading.Event()

    def take(self, name="one"):
        try:
            with hold(self.path):
                self.held.append(name)
                self.enough.wait(10)
        except MachineError:
            self.refused.append(name)
            if len(self.refused) == self.losers:
                self.enough.set()


def test_a_taker_that_looked_at_a_dead_lock_does_not_clear_the_next_one_s(path, monkeypatch):
    """The second taker comes between the first one's look and its deletion."""
    path.write_text(owner(pid=2**22 - 7))
    takers = Takers(path, losers=1)
    second = threading.Thread(target=takers.take, args=("second",))
    born = lock.born

    def born_and_overtaken(pid):
        if pid == 2**22 - 7 and not second.ident:
            second.start()
            second.join(0.3)
        return born(pid)

    monkeypatch.setattr(lock, "born", born_and_overtaken)
    takers.take("first")
    second.join()
    assert len(takers.held) == len(takers.refused) == 1


def test_of_takers_of_a_dead_lock_at_once_only_one_wins(path):
    path.write_text(owner(pid=2**22 - 7))
    takers = Takers(path, losers=7)
    threads = [threading.Thread(target=takers.take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(takers.held), len(takers.refused)) == (1, 7)
    assert list(path.parent.iterdir()) == []

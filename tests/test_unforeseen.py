import errno
import os

import pytest
from small import make_cells

from aidocell.errors import MachineError
from aidocell.store import StoreReader, write_store
from aidocell.unforeseen import in_users_terms


@pytest.mark.parametrize(
    ("error", "id"),
    [
        (MemoryError(), "E_MEMORY"),
        (RuntimeError("can't start new thread"), "E_MEMORY"),
        (
            RuntimeError("unable to mmap 5 bytes from file <w>: Cannot allocate memory (12)"),
            "E_MEMORY",
        ),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "E_MEMORY"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "E_DISK_FULL"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "E_DISK_FAILED"),
    ],
)
def test_a_failure_of_the_machine_is_told_as_one(error, id):
    known = in_users_terms(error)
    assert (known.id, known.exit_status) == (id, 3)


def test_what_is_no_failure_of_the_machine_is_a_bug():
    assert in_users_terms(RuntimeError("odd")) is None
    assert in_users_terms(OSError(errno.ENOTTY, "odd")) is None


def test_a_good_store_is_not_blamed_for_too_little_memory(tmp_path, monkeypatch):
    path = tmp_path / "c.zarr.zip"
    write_store(make_cells(3), path, provenance={})

    def no_thread(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("zarr.open_group", no_thread)
    with pytest.raises(MachineError, match="E_MEMORY"), StoreReader(path):
        pass

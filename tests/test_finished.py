"""A stand-alone embed that was killed on its last steps, when its output was already in place."""

import subprocess
import sys

import pytest
from small import TINY, make_cells

from aidocell.errors import InputError
from aidocell.standalone import embed_file

LEAVE_LOCK = """
import os, signal, sys
from aidocell.lock import hold
with hold(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def finished(tmp_path):
    """An output beside which a killed run left its lock and its folder."""
    make_cells(8).write_h5ad(tmp_path / "cells.h5ad")
    output = tmp_path / "e.zarr.zip"
    embed_file(tmp_path / "cells.h5ad", str(TINY), output)
    (tmp_path / ".e.zarr.zip.partial").mkdir()
    subprocess.run([sys.executable, "-c", LEAVE_LOCK, str(tmp_path / ".e.zarr.zip.lock")])
    return output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_command_cleans_up_and_leaves_the_output_as_it_is(finished):
    written = finished.stat().st_mtime_ns
    embed_file(finished.with_name("cells.h5ad"), str(TINY), finished)
    assert finished.stat().st_mtime_ns == written
    assert names(finished.parent) == ["cells.h5ad", "e.zarr.zip"]


@pytest.mark.parametrize("other", ["cells", "pooling"])
def test_another_command_is_told_that_the_output_exists(finished, other):
    cells, options = finished.with_name("cells.h5ad"), {}
    if other == "cells":
        make_cells(8, seed=1).write_h5ad(cells)
    else:
        options = {"pooling": "max"}
    before = finished.read_bytes()
    with pytest.raises(InputError, match="E_OUTPUT_EXISTS"):
        embed_file(cells, str(TINY), finished, **options)
    assert finished.read_bytes() == before

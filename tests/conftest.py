"""What many tests share: the tiny checkpoint of 256 genes, and small files of counts for it."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest
from small import ROOT, TINY, make_cells

# a shell starts what it runs in the background with Ctrl-C ignored, and children inherit that
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait most: Slurm, then Snakemake; the others fill the time beside."""
    items.sort(key=lambda item: [item.get_closest_marker(m) is None for m in ("slurm", "workflow")])


@pytest.fixture
def plain_logging():
    """Leave the logging of other tests as it was: every command sets up its own."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logging.getLogger("aidocell").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tiny_checkpoint() -> str:
    return str(TINY)


@pytest.fixture
def cells_file(tmp_path) -> Path:
    """An .h5ad of 40 cells that the tiny checkpoint can embed."""
    path = tmp_path / "cells.h5ad"
    make_cells(40).write_h5ad(path)
    return path

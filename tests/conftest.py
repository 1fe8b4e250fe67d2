"""What many tests share: the tiny checkpoint of 256 genes, and small files of counts for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import ROOT, TINY, make_cells


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

"""The tiny checkpoint with known results."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aidocell.model import load_model

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture(scope="session")
def golden():
    with np.load(TINY / "vectors.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def model():
    return load_model(TINY)


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny checkpoint, in the official form alone, to damage."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(TINY, copy)
    (copy / "model.safetensors").unlink()
    return copy

"""A loaded tiny checkpoint, made-up labelled cells, and short options."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small import TINY, make_cells

from aidocell.model import load_model
from aidocell.train.options import FinetuneOptions

QUICK = FinetuneOptions(epochs=2, batch_size=8, device="cpu", validation_share=0.2)


@pytest.fixture(scope="session")
def model():
    """Never changed: what trains it works on a copy."""
    return load_model(TINY)


@pytest.fixture(scope="session")
def cells():
    """Raw counts and labels of 40 cells of two kinds."""
    adata = make_cells(40)
    return adata.X, adata.obs["cell_type"].to_numpy(object)


@pytest.fixture(scope="session")
def quick():
    """Options of a training of some seconds, with changes."""
    return lambda **changes: replace(QUICK, **changes)

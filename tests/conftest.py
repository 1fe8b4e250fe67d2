"""What many tests share: the tiny checkpoint of 256 genes, and small files of counts for it."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from aidocell.genes import Vocabulary

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).parent / "data" / "tiny"


def make_cells(number: int, *, seed: int = 0) -> ad.AnnData:
    """Raw counts of made-up cells over the tiny checkpoint's genes, in two kinds."""
    genes = Vocabulary.read(TINY / "genes.tsv").symbols
    generator = np.random.default_rng(seed)
    kind = generator.integers(0, 2, number)
    rate = np.where(np.arange(len(genes)) < 40, 3.0, 0.4) * np.ones((2, 1))
    rate[1] = rate[0][::-1]
    obs = pd.DataFrame(
        {
            "cell_type": np.array(["early", "late"])[kind],
            "donor": [f"d{i % 3}" for i in range(number)],
        },
        index=[f"cell{i}" for i in range(number)],
    )
    counts = sparse.csr_matrix(generator.poisson(rate[kind]).astype(np.int32))
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=list(genes)))


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

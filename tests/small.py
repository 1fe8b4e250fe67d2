"""The tiny checkpoint of 256 genes, and made-up cells for it."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.genes import Vocabulary

__all__ = ["ROOT", "TINY", "make_cells"]

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

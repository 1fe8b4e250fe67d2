"""A very small network and stores of made-up cells, for tests of pre-training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from small import TINY, make_cells

from aidocell.countstore import StoreWriter
from aidocell.genes import Vocabulary
from aidocell.model import AidoCell
from aidocell.texts import Texts
from aidocell.train.pretrain_options import new_network

__all__ = ["GENES", "NETWORK", "make_store", "new_tiny_network", "write_counts"]

GENES = Vocabulary.read(TINY / "genes.tsv")
NETWORK = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "genes": str(TINY / "genes.tsv"),
}


def new_tiny_network(seed: int = 0) -> AidoCell:
    """One layer, 256 genes, random weights."""
    return new_network(NETWORK, seed=seed)


def make_store(path: Path, cells: int, *, seed: int = 0) -> Path:
    """Aligned counts of made-up cells."""
    return write_counts(path, make_cells(cells, seed=seed).X)


def write_counts(
    path: Path, counts: sparse.csr_matrix, *, measured: np.ndarray | None = None
) -> Path:
    """Counts over the tiny genes as `align` stores them."""
    measured = np.ones(len(GENES), bool) if measured is None else measured
    var = pd.DataFrame({"measured": measured}, index=pd.Index(GENES.symbols, name="symbol"))
    provenance = {"stage": "align", "genes_sha256": GENES.sha256}
    with StoreWriter(path, var=var, provenance=provenance) as store:
        store.append(sparse.csr_matrix(counts))
        store.write_cells(Texts.of([f"cell{i}" for i in range(counts.shape[0])]))
    return path

"""Cells of three classes that a few genes tell apart."""

import numpy as np
from scipy import sparse

CLASSES = ["B", "NK", "T"]
GENES = np.array([f"gene{i}" for i in range(40)])


def toy(cells_per_class=12, *, seed=0):
    """Counts of three classes, each with five genes of its own; cells in mixed order."""
    rng = np.random.default_rng(seed)
    y = np.array(CLASSES * cells_per_class, dtype=object)
    rates = np.full((len(y), 40), 0.5)
    for i, name in enumerate(CLASSES):
        rates[y == name, 5 * i : 5 * i + 5] = 20
    return sparse.csr_matrix(rng.poisson(rates)), y

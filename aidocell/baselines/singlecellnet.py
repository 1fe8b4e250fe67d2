"""SingleCellNet: a random forest on which of two genes is higher, for pairs of marker genes.

pySingleCellNet's ``train_classifier`` with its own settings (30 genes a comparison, 40 pairs a
class, 1,000 trees; differential expression of each class against all and against its nearest
class), on log1p of counts per 10,000, the 2,000 most variable genes marked. What the package calls
``rand``, a class of shuffled cells that stands for none of the others, is left out of each cell's
probabilities, and the rest is divided by what remains.

Two things are done around it so that the same seed gives the same forest. Cells are sorted first.
And its random pairs are drawn from sorted lists: it draws from sets of gene names, whose order
changes from process to process. Genes and classes bear numbers while the package has them: it
splits gene names at underscores. The trees' own seed is fixed by the package.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from aidocell.baselines.order import canonical_order
from aidocell.baselines.packages import borrowed, normalised, require_cells, swapped
from aidocell.baselines.variable import variable_genes

__all__ = ["Fitted", "fit", "predict_proba"]

TREES = 1_000
GENES_PER_COMPARISON = 30
PAIRS_PER_CLASS = 40
CELLS_AT_ONCE = 2_000
RANDOM = "rand"


@dataclass(frozen=True)
class Fitted:
    """The package's classifier, and the columns of the genes that it compares."""

    classifier: dict[str, Any]
    columns: np.ndarray
    classes_: np.ndarray


class _SortedDraws(random.Random):
    """Draws that do not depend on the order of what is drawn from."""

    def choice(self, seq: Sequence[str]) -> str:
        return super().choice(sorted(seq))


def fit(X: sparse.csr_matrix, y: np.ndarray, *, seed: int) -> Fitted:
    """Fit on raw counts, shape ``(cells, genes)``, and their labels.

    Raises
    ------
    Unavailable
        A class with fewer than two cells: nothing can be tested on one.
    """
    require_cells(y, 2)
    order = canonical_order(X, y)
    classes, codes = np.unique(np.asarray(y)[order], return_inverse=True)
    with borrowed("pySingleCellNet", seed=seed):
        from pySingleCellNet.tools import classifier

        cells = _numbered(X[order])
        expressed = np.asarray(cells.X.sum(axis=0)).ravel() > 0
        cells.var["highly_variable"] = np.isin(np.arange(len(expressed)), variable_genes(cells))
        cells = cells[:, expressed].copy()
        cells.obs["label"] = [str(code) for code in codes]
        cells.obs["label"] = cells.obs["label"].astype("category")
        with swapped(classifier, rand=_SortedDraws(seed), alive_bar=_no_bar):
            fitted = classifier.train_classifier(
                cells,
                groupby="label",
                cell_type_to_color={},  # it has sixty colours, and refuses more classes
                n_top_genes=GENES_PER_COMPARISON,
                n_top_gene_pairs=PAIRS_PER_CLASS,
                n_trees=TREES,
            )
    return Fitted(fitted, np.sort([int(gene) for gene in fitted["tpGeneArray"]]), classes)


def predict_proba(fitted: Fitted, X: sparse.csr_matrix) -> np.ndarray:
    """Shares of the trees without ``rand``, shape ``(cells, classes)``, as ``fitted.classes_``.

    A cell that every tree calls ``rand`` gets equal shares.
    """
    with borrowed("pySingleCellNet", seed=0):
        starts = range(0, X.shape[0], CELLS_AT_ONCE)
        parts = [_shares(fitted, X[at : at + CELLS_AT_ONCE]) for at in starts]
    return np.concatenate([np.zeros((0, len(fitted.classes_))), *parts])


def _shares(fitted: Fitted, counts: sparse.csr_matrix) -> np.ndarray:
    from pySingleCellNet.tools import classifier

    cells = _numbered(counts)[:, fitted.columns].copy()
    classifier.classify_anndata(cells, fitted.classifier, nrand=0)
    votes = cells.obsm["SCN_score"].drop(columns=RANDOM)
    votes = votes[[str(code) for code in range(len(fitted.classes_))]].to_numpy()
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.where(total > 0, total, 1), 1 / votes.shape[1])


def _numbered(counts: sparse.csr_matrix):
    return normalised(counts, np.arange(counts.shape[1]))


def _no_bar(*_: Any, **__: Any):
    """In the place of a progress bar, which writes to standard output."""
    return nullcontext(lambda: None)

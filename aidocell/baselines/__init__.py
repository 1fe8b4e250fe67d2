"""Methods that label cells: one module each, all with the same two functions.

Every module in :data:`METHODS` has ``fit(X, y, *, seed, **extras) -> fitted``, where
``fitted.classes_`` are the sorted classes, and ``predict_proba(fitted, X) -> ndarray (cells,
classes)``. What a method learns (genes, scaling, components, neighbours) it learns in `fit`, from
the cells given there. `extras` are the keywords that the method names in ``takes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

__all__ = ["METHODS", "Method", "Unavailable"]


class Unavailable(Exception):
    """A method cannot run here or on these cells; the text says why, for its row in the tables."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to label cells.

    Attributes
    ----------
    file
        Its module in this package, imported when first used.
    needs
        What X is: ``embedding`` (ndarray), ``counts`` (CSR of raw counts) or ``labels`` (either;
        the method looks at labels alone).
    title
        What it does, for tables and help.
    takes
        Keywords that `fit` wants besides: ``genes`` (symbols of the columns of X), ``groups``
        (donor of each training cell, or None), ``validation`` (X and y of cells set apart for
        early stopping, or None), ``network`` (:class:`aidocell.train.options.Network`: which
        checkpoint, how trained), ``reference`` (a model file of CellTypist or its name).
    package
        The package of somebody else that does the work, as one installs it; None where it is ours
        or scikit-learn's. What it raises makes its row ``unavailable`` and holds up nothing else.
    quick
        Whether it runs where no methods were named.
    """

    file: str
    needs: Literal["embedding", "counts", "labels"]
    title: str
    takes: tuple[str, ...] = ()
    package: str | None = None
    quick: bool = False

    @property
    def module(self) -> ModuleType:
        """The module with `fit` and `predict_proba`."""
        return import_module(f"aidocell.baselines.{self.file}")


METHODS: dict[str, Method] = {
    "logistic": Method(
        file="logistic",
        needs="embedding",
        title="logistic regression on the embedding",
        quick=True,
    ),
    "knn": Method(
        file="knn", needs="embedding", title="nearest neighbours in the embedding", quick=True
    ),
    "mlp": Method(
        file="mlp", needs="embedding", title="multilayer perceptron on the embedding", quick=True
    ),
    "finetune": Method(
        file="finetune",
        needs="counts",
        title="the checkpoint fine-tuned, with a head",
        takes=("genes", "groups", "validation", "network"),
    ),
    "genes-logistic": Method(
        file="genes_logistic",
        needs="counts",
        title="logistic regression on all genes",
        quick=True,
    ),
    "genes-svm": Method(
        file="genes_svm", needs="counts", title="linear support vector machine on all genes"
    ),
    "pca-logistic": Method(
        file="pca_logistic",
        needs="counts",
        title="logistic regression on components of scaled genes",
        quick=True,
    ),
    "pca-knn": Method(
        file="pca_knn",
        needs="counts",
        title="nearest neighbours in components of the genes",
        quick=True,
    ),
    "celltypist": Method(
        file="celltypist",
        needs="counts",
        title="CellTypist, trained on these labels",
        takes=("genes",),
        package="celltypist",
    ),
    "scanvi": Method(
        file="scanvi",
        needs="counts",
        title="scANVI: an autoencoder of the counts that knows the labels",
        package="scvi-tools",
    ),
    "ingest": Method(
        file="ingest",
        needs="counts",
        title="scanpy's ingest: nearest neighbours in components",
        package="scanpy",
    ),
    "singlecellnet": Method(
        file="singlecellnet",
        needs="counts",
        title="SingleCellNet: a random forest on pairs of genes",
        package="pysinglecellnet",
    ),
    "actinn": Method(
        file="actinn", needs="counts", title="ACTINN, re-implemented: a small network on all genes"
    ),
    "reference": Method(
        file="reference",
        needs="counts",
        title="an existing CellTypist model, no training",
        takes=("genes", "reference"),
        package="celltypist",
    ),
    "majority": Method(
        file="majority", needs="labels", title="the most frequent class, always", quick=True
    ),
}

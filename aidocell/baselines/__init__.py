"""Methods that label cells: one module each, all with the same two functions.

Every module in :data:`METHODS` has ``fit(X, y, *, seed) -> fitted``, where ``fitted.classes_``
are the sorted classes, and ``predict_proba(fitted, X) -> ndarray (cells, classes)``. What a
method learns (scaling, components, neighbours) it learns in `fit`, from the cells given there.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
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
    """

    file: str
    needs: Literal["embedding", "counts", "labels"]
    title: str

    @property
    def module(self) -> ModuleType:
        """The module with `fit` and `predict_proba`."""
        return import_module(f"aidocell.baselines.{self.file}")


METHODS: dict[str, Method] = {
    "logistic": Method("logistic", "embedding", "logistic regression on the embedding"),
    "knn": Method("knn", "embedding", "nearest neighbours in the embedding"),
    "genes-logistic": Method("genes_logistic", "counts", "logistic regression on all genes"),
    "pca-logistic": Method(
        "pca_logistic", "counts", "logistic regression on components of scaled genes"
    ),
    "pca-knn": Method("pca_knn", "counts", "nearest neighbours in components of the genes"),
    "majority": Method("majority", "labels", "the most frequent class, always"),
}

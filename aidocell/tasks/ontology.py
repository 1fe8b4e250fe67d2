"""Cell Ontology ids of classes, as the labelled cells have them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["TERM", "default_column", "ontology_of"]

TERM = re.compile("CL:[0-9]{7}")


def default_column(label: str, columns: Sequence[str]) -> str | None:
    """Where CELLxGENE files keep the ids of the classes in the column `label`, if they do."""
    wanted = (f"{label}_ontology_term_id", "cell_type_ontology_term_id")
    return next((name for name in wanted if name in columns), None)


def ontology_of(
    labels: np.ndarray, terms: Sequence[object] | pd.Series
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The id of each class whose cells have one and the same; what is no id counts as none.

    Returns
    -------
    ids
        By class.
    warnings
        A ``{"id", "text"}`` for each class whose cells have several.
    """
    table = pd.DataFrame({"label": labels, "term": pd.Series(terms, dtype=object).to_numpy()})
    valid = table["term"].map(lambda t: isinstance(t, str) and bool(TERM.fullmatch(t)))
    found = table[valid.astype(bool)].groupby("label")["term"].unique()
    notes = [
        {
            "id": "ontology-ambiguous",
            "text": f"cells of '{name}' have {len(ids)} ontology ids "
            f"({', '.join(sorted(ids)[:3])}): the class gets none",
        }
        for name, ids in found.items()
        if len(ids) > 1
    ]
    return {name: ids[0] for name, ids in found.items() if len(ids) == 1}, notes

"""The cells of the map: places, names, and what they can be coloured by."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from aidocell.report.colours import GREY, marks_of
from aidocell.report.qcsummary import METRICS
from aidocell.tables import read_table

__all__ = ["PREDICTED", "PROBABILITY", "TRUE", "CellMap", "map_payload", "read_map"]

PREDICTED, TRUE, PROBABILITY = "predicted type", "given type", "probability of the predicted type"
_MOST_VALUES = 200


@dataclass(frozen=True)
class CellMap:
    """Cells with coordinates.

    Attributes
    ----------
    table
        Indexed by ``<sample>:<barcode>``, with the columns ``sample``, ``x`` and ``y`` and one for
        each choice of colour: text for groups, numbers for values (missing where NaN).
    cells
        How many cells there are in all; the table holds no more than the config allows.
    method
        ``umap`` or ``pca``.
    embeddings
        Seals of the stores of embeddings that it was made from, by sample.
    """

    table: pd.DataFrame = field(repr=False)
    cells: int
    method: str
    embeddings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_columns(self, columns: pd.DataFrame) -> CellMap:
        """The map with more choices of colour; `columns` is indexed by cell."""
        joined = self.table.join(columns[~columns.index.duplicated()])
        return replace(self, table=joined)

    def without(self, column: str) -> CellMap:
        """The map without one choice of colour, if it is there."""
        return replace(self, table=self.table.drop(columns=column, errors="ignore"))

    def only(self, sample: str) -> CellMap:
        """The cells of one sample."""
        mine = self.table[self.table["sample"] == sample]
        if len(self.table) == self.cells:
            return replace(self, table=mine, cells=len(mine))
        return replace(self, table=mine)


def read_map(path: Path) -> CellMap | None:
    """Read ``study/map.parquet``; None where it is not there or holds no cell."""
    if not path.is_file():
        return None
    table = read_table(path)
    about = table.attrs
    if table.empty:
        return None
    indexed = table.set_index(table["cell"].astype(str))[["sample", "x", "y"]]
    return CellMap(indexed, about["cells"], about["method"], about["embeddings"])


def map_payload(cells: CellMap, labels: Sequence[str]) -> dict[str, object]:
    """What the page's script draws: packed numbers and plain strings, never markup.

    Parameters
    ----------
    cells
        The map.
    labels
        Cell types in the order of their colours, the same as in all other figures.
    """
    table = cells.table
    fields = [_field(name, table[name], labels) for name in _choices(table)]
    return {
        "names": list(table.index),
        "x": _packed(table["x"]),
        "y": _packed(table["y"]),
        "fields": [f for f in fields if f is not None],
        "grey": GREY,
    }


def _choices(table: pd.DataFrame) -> list[str]:
    """Cell types first, then the sample, then values of the QC, then the sheet's own columns."""
    first = [name for name in (PREDICTED, TRUE, "sample", PROBABILITY, *METRICS) if name in table]
    others = [name for name in table if name not in (*first, "x", "y")]
    return first + others


def _field(name: str, column: pd.Series, labels: Sequence[str]) -> dict[str, object] | None:
    title = METRICS[name].title if name in METRICS else name
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        logarithmic = name in METRICS and METRICS[name].logarithmic
        unit = METRICS[name].unit if name in METRICS else ""
        return {"title": title, "log": logarithmic, "unit": unit, "values": _packed(column)}
    return _groups(title, column, labels if name in (PREDICTED, TRUE) else ())


def _groups(title: str, column: pd.Series, labels: Sequence[str]) -> dict[str, object] | None:
    values = column.astype(object).where(column.notna(), "").astype(str)
    found = [v for v in values.value_counts().index if v]
    ordered = [*labels, *[v for v in found if v not in labels]]
    if not found or len(found) > _MOST_VALUES:
        return None
    marks = marks_of(ordered)
    codes = values.map({v: place for place, v in enumerate(ordered)}).fillna(len(ordered))
    return {
        "title": title,
        "groups": [
            {"name": v, "colour": marks[v].colour, "shape": marks[v].shape} for v in ordered
        ],
        "codes": base64.b64encode(codes.to_numpy("<u2").tobytes()).decode(),
    }


def _packed(values: pd.Series) -> str:
    """Little-endian float32 as base64: a third of the size of digits."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def extra_columns(obs: Mapping[str, pd.Series]) -> list[str]:
    """Names of text columns that tell groups apart: two to 200 values."""
    return [
        name
        for name, column in obs.items()
        if not pd.api.types.is_numeric_dtype(column) and 2 <= column.nunique() <= _MOST_VALUES
    ]

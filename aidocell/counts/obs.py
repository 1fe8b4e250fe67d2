"""Tables of cells that can be stored."""

from __future__ import annotations

from collections.abc import Container

import pandas as pd

from aidocell.errors import InputError

__all__ = ["joined", "storable"]


def storable(obs: pd.DataFrame) -> pd.DataFrame:
    """A table that AnnData can write: numbers, truth values, text and categories of text.

    Anything else (dates, mixed objects) becomes text; what is missing stays missing. Column
    names that a store cannot have are changed: ``a/b`` becomes ``a_b``.
    """
    columns: dict[str, pd.Series] = {}
    for position, name in enumerate(obs.columns):
        columns[_name(str(name), taken=columns)] = _column(obs.iloc[:, position])
    return pd.DataFrame(columns, index=obs.index.astype(str))


def _name(name: str, *, taken: Container[str]) -> str:
    name = name.replace("/", "_")
    if name == "_index" or not name.strip("."):
        name = f"column{name}"
    while name in taken:
        name += "_"
    return name


def _column(values: pd.Series) -> pd.Series:
    if values.dtype.kind in "biuf":
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        texts = values.cat.categories.astype(str)
        if texts.is_unique:
            return values.cat.rename_categories(texts)
    text = values.astype(str).astype(object).where(values.notna(), None)
    # Text as such cannot be missing in a store, a category can.
    return text.astype("category") if values.isna().any() else text


def joined(obs: pd.DataFrame, extra: pd.DataFrame | None, *, where: str) -> pd.DataFrame:
    """Cells with further columns, joined by name; a column that both have is that of `extra`.

    Raises
    ------
    InputError
        ``E_CELL_NAMES``: `extra` describes a cell twice.
    """
    if extra is None:
        return obs
    repeated = extra.index[extra.index.duplicated()].unique().astype(str)
    if len(repeated):
        raise InputError(
            "E_CELL_NAMES",
            f"the metadata of {where} describe cells twice: {', '.join(repeated[:5])}",
            fix="leave one line a cell",
        )
    return obs.assign(**{str(name): extra[name].reindex(obs.index) for name in extra})

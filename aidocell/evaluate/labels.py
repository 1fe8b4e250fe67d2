"""Labels of cells: what counts as one, and which cells can take part."""

from __future__ import annotations

import numbers
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aidocell.errors import InputError, first_few

__all__ = ["Selection", "about_alike", "clean_groups", "clean_labels", "select_cells"]

# What Python, numpy, pandas and R write for a missing value when a column is saved as text.
_MISSING_TEXT = frozenset({"nan", "NaN", "NA", "<NA>", "NaT", "None"})


def clean_labels(values: Sequence[object] | pd.Series) -> np.ndarray:
    """Labels as text; the empty string where a cell has none.

    Missing values, blank text and the usual spellings of a missing value (``nan``, ``NA``,
    ``None`` and the like) are no labels. A whole number is written without a decimal point, so
    that ``1`` and ``1.0`` are one class. Categories, numbers and booleans become text.

    Returns
    -------
    labels
        Object array of str, shape ``(cells,)``.
    """
    codes, uniques = pd.factorize(pd.Series(values, dtype=object), use_na_sentinel=True)
    names = np.array([*map(_as_text, uniques), ""], dtype=object)
    return names[codes]


def clean_groups(values: Sequence[object] | pd.Series) -> np.ndarray:
    """Donors or batches as text, so that one written in two ways is still one; otherwise as labels.

    White space around a name and doubled within it goes, characters that only look different
    become one (Unicode's NFKC), and a whole number loses its zeros: ``1``, ``1.0`` and ``01`` are
    one donor. Upper and lower case stay apart: see :func:`about_alike`.
    """
    codes, uniques = pd.factorize(clean_labels(values))
    names = np.array([_one_spelling(name) for name in uniques], dtype=object)
    return np.where(np.isin(names, list(_MISSING_TEXT)), "", names)[codes]


def _one_spelling(name: str) -> str:
    visible = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    text = " ".join("".join(visible).split())
    return str(int(float(text))) if re.fullmatch(r"[0-9]{1,15}(\.0*)?", text) else text


def about_alike(names: Sequence[str] | np.ndarray, what: str = "groups") -> list[dict[str, str]]:
    """A warning where names differ by upper and lower case, white space or invisible characters."""
    unique = sorted(set(names) - {""})
    spelled = [_one_spelling(name).casefold() for name in unique]
    folded = pd.Series(unique, dtype=object).groupby(spelled).agg(list)
    alike = [" and ".join(map(repr, same)) for same in folded if len(same) > 1]
    if not alike:
        return []
    text = (
        f"{what} that differ by upper and lower case or by white space alone count as several: "
        f"{first_few(alike)}"
    )
    return [{"id": f"{what}-alike", "text": text}]


def _as_text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    return "" if not text.strip() or text in _MISSING_TEXT else text


@dataclass(frozen=True)
class Selection:
    """Which cells take part, and why the others do not.

    Attributes
    ----------
    keep
        Boolean, shape ``(cells,)``.
    unlabelled, ungrouped, rare
        Cells left out: without a label, without a group, of a class dropped for its size.
    dropped
        The classes dropped, with their cells.
    """

    keep: np.ndarray
    unlabelled: int
    ungrouped: int
    rare: int
    dropped: dict[str, int]

    def warnings(self) -> list[dict[str, str]]:
        """A sentence for each reason for which cells were left out."""
        texts = [
            ("cells-unlabelled", self.unlabelled, "without a label"),
            ("cells-ungrouped", self.ungrouped, "without a group"),
            ("classes-dropped", self.rare, f"of too small classes: {_listed(self.dropped)}"),
        ]
        return [
            {"id": id, "text": f"left out: {n} cell{'s' * (n != 1)} {why}"}
            for id, n, why in texts
            if n
        ]


def select_cells(
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    min_cells_per_class: int | None = None,
    folds: int | None = None,
    least_classes: int = 2,
) -> Selection:
    """Leave out cells without a label or group and classes that are too small.

    Parameters
    ----------
    labels
        From :func:`clean_labels`.
    groups
        From :func:`clean_groups`: the donor or batch of each cell.
    min_cells_per_class
        Classes with fewer cells are left out and counted; None keeps all.
    folds
        Number of folds that every class has to reach, if the cells are to be split.
    least_classes
        Classes that there have to be; cells that are only judged by may have one.

    Raises
    ------
    InputError
        ``E_LABEL_MISSING``: no cell has a label. ``E_LABEL_CLASSES``: too few classes, or one
        with fewer cells than folds.
    """
    labelled = labels != ""
    if not labelled.any():
        raise InputError(
            "E_LABEL_MISSING", "no cell has a label", fix="name another column with --label"
        )
    grouped = labelled if groups is None else labelled & (groups != "")
    sizes = pd.Series(labels[grouped], dtype=object).value_counts().sort_index()
    dropped = sizes[sizes < (min_cells_per_class or 1)]
    keep = grouped & ~np.isin(labels, dropped.index)
    _require_classes(sizes.drop(dropped.index), dropped, folds=folds, least=least_classes)
    return Selection(
        keep=keep,
        unlabelled=int((~labelled).sum()),
        ungrouped=int((labelled & ~grouped).sum()),
        rare=int(dropped.sum()),
        dropped={label: int(n) for label, n in dropped.items()},
    )


def _require_classes(
    sizes: pd.Series, dropped: pd.Series, *, folds: int | None, least: int
) -> None:
    if len(sizes) < least:
        found = f"{len(sizes)} class{'es' * (len(sizes) != 1)}"
        named = f", {_listed(sizes)}" if len(sizes) else ""
        left_out = f"; left out as too small: {_listed(dropped)}" if len(dropped) else ""
        raise InputError(
            "E_LABEL_CLASSES",
            f"the labels have {found}{named}{left_out}",
            fix=f"give labels of {least} classes or more, or a lower --min-cells-per-class",
        )
    small = sizes[sizes < (folds or 1)]
    if len(small):
        raise InputError(
            "E_LABEL_CLASSES",
            f"classes with fewer cells than the {folds} folds: {_listed(small)}",
            fix=f"leave them out with --min-cells-per-class {folds}, or give fewer --folds",
        )


def _listed(sizes: dict[str, int] | pd.Series) -> str:
    return first_few([f"'{label}' ({n})" for label, n in sizes.items()])

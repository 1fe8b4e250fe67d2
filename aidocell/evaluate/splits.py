"""Cross-validation folds that neither a donor nor a copy of a cell straddles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from aidocell.errors import InputError, first_few
from aidocell.evaluate.digests import row_digests

__all__ = ["assign_folds", "assign_groups", "assign_repeated_folds"]


def assign_folds(
    labels: np.ndarray,
    cells: Sequence[str],
    *,
    folds: int,
    seed: int,
    groups: np.ndarray | None = None,
    matrices: Sequence[np.ndarray | sparse.csr_matrix] = (),
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Give every cell a fold, stratified by label.

    Cells are sorted by name first, so the split depends on names, labels and seed, and not on
    the order in a file. Cells with equal rows in any of `matrices` stay in one fold, and so do
    all cells of a group.

    Parameters
    ----------
    labels
        Class of each cell, none empty.
    cells
        Unique names.
    groups
        Donor or batch of each cell, none empty; without it the split is by cell alone.
    matrices
        Embeddings and counts of the cells, each ``(cells, columns)``.

    Returns
    -------
    fold
        Integers 1 to `folds`, shape ``(cells,)``, in the order given.
    warnings
        ``{"id", "text"}`` each: equal cells, classes that a training part lacks.

    Raises
    ------
    InputError
        ``E_CONFIG``: fewer than two folds, or fewer groups than folds. ``E_LABEL_CLASSES``: a
        training part with one class.
    """
    repeated, notes = assign_repeated_folds(
        labels, cells, folds=folds, repeats=1, seed=seed, groups=groups, matrices=matrices
    )
    return repeated[0], notes


def assign_repeated_folds(
    labels: np.ndarray,
    cells: Sequence[str],
    *,
    folds: int,
    repeats: int,
    seed: int,
    groups: np.ndarray | None = None,
    matrices: Sequence[np.ndarray | sparse.csr_matrix] = (),
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """As :func:`assign_folds`, `repeats` times with seeds that follow from `seed`.

    The first split is that of `seed` itself. A split that is an earlier one again, as where there
    are as many groups as folds, is named in the warnings.

    Returns
    -------
    fold
        Integers 1 to `folds`, shape ``(repeats, cells)``, in the order given.
    warnings
        ``{"id", "text"}`` each.
    """
    if folds < 2:
        raise InputError("E_CONFIG", f"folds is {folds}", fix="give 2 or more folds")
    if repeats < 1:
        raise InputError("E_CONFIG", f"repeats is {repeats}", fix="give 1 or more repeats")
    order = np.argsort(np.asarray(cells, dtype=object))
    units, notes = _units(cells, order, groups, matrices)
    split = _by_cell if groups is None else _by_group
    fold = np.empty((repeats, len(labels)), dtype=np.int64)
    for repeat in range(repeats):
        own = seed if repeat == 0 else _derived(seed, repeat)
        fold[repeat, order] = split(labels[order], units[order], folds=folds, seed=own)
        found = _about_training_parts(labels, fold[repeat], folds)
        notes += [note for note in found if note not in notes]
    return fold, notes + _about_repeats(fold)


def assign_groups(
    labels: np.ndarray,
    cells: Sequence[str],
    *,
    groups: np.ndarray,
    matrices: Sequence[np.ndarray | sparse.csr_matrix] = (),
) -> tuple[np.ndarray, list[list[str]], list[dict[str, str]]]:
    """Give every group a fold of its own, numbered in the order of their names.

    Groups that share equal cells have one fold together. Parameters and errors as of
    :func:`assign_folds`.

    Returns
    -------
    fold
        Integers from 1, shape ``(cells,)``.
    members
        The groups of each fold.
    warnings
        ``{"id", "text"}`` each.
    """
    order = np.argsort(np.asarray(cells, dtype=object))
    units, notes = _units(cells, order, groups, matrices)
    by_name = np.argsort(groups, kind="stable")
    fold = np.empty(len(labels), dtype=np.int64)
    fold[by_name] = pd.factorize(units[by_name])[0] + 1
    _require_groups(int(fold.max()), 2)
    members = [sorted(set(groups[fold == number])) for number in range(1, fold.max() + 1)]
    return fold, members, notes + _about_training_parts(labels, fold, fold.max())


def _units(
    cells: Sequence[str],
    order: np.ndarray,
    groups: np.ndarray | None,
    matrices: Sequence[np.ndarray | sparse.csr_matrix],
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """An integer per cell, equal for cells that no split may part; and what is to be said of them."""
    copies = [_equal_rows(matrix) for matrix in matrices]
    own = [] if groups is None else [pd.factorize(groups, sort=True)[0]]
    units = _linked([*copies, *own], len(order))
    notes = _about_copies(copies, np.asarray(cells, dtype=object), order)
    return units, notes + _about_linked_groups(units, groups)


def _derived(seed: int, repeat: int) -> int:
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def _equal_rows(matrix: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """An integer per row; equal rows have the same one, and a row of zeros is like no other."""
    digests = row_digests(matrix)
    silent = digests == ""
    digests[silent] = [f"row {place}" for place in np.flatnonzero(silent)]
    return pd.factorize(digests)[0]


def _linked(codes: list[np.ndarray], cells: int) -> np.ndarray:
    """An integer per cell; cells that share any code, directly or through others, share it."""
    if not codes:
        return np.arange(cells)
    ends, nodes = [], cells
    for code in codes:
        ends.append(code + nodes)
        nodes += int(code.max()) + 1
    rows = np.tile(np.arange(cells), len(codes))
    links = (np.ones(len(rows), bool), (rows, np.concatenate(ends)))
    graph = sparse.coo_matrix(links, shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:cells]


def _by_cell(labels: np.ndarray, units: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Stratify the first cell of each set of equal ones; its copies follow it."""
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    by_name = np.sort(first)  # np.unique sorts by unit number, which is not by name
    kfold = StratifiedKFold(folds, shuffle=True, random_state=seed)
    fold_of_first = np.zeros(len(labels), dtype=np.int64)
    fold_of_first[by_name] = _numbered(kfold.split(by_name, labels[by_name]), len(by_name))
    return fold_of_first[first][unit]


def _by_group(labels: np.ndarray, units: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    _require_groups(len(np.unique(units)), folds)
    names = pd.factorize(units)[0]  # numbered in the order of the cells' names
    kfold = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return _numbered(kfold.split(labels, labels, names), len(labels))


def _require_groups(found: int, folds: int) -> None:
    if found < folds:
        raise InputError(
            "E_CONFIG",
            f"the group column has {found} separate group{'s' * (found != 1)}, fewer than the "
            f"{folds} folds",
            fix="give another --group" + (f", or --folds {found}" if found > 1 else ""),
        )


def _numbered(splits: object, cells: int) -> np.ndarray:
    fold = np.zeros(cells, dtype=np.int64)
    with warnings.catch_warnings():
        # classes that are too small for the folds are named in our own words
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, test) in enumerate(splits, start=1):
            fold[test] = number
    return fold


def _about_copies(
    copies: list[np.ndarray], cells: np.ndarray, order: np.ndarray
) -> list[dict[str, str]]:
    if not copies:
        return []
    repeated = np.logical_or.reduce([np.bincount(code)[code] > 1 for code in copies])
    if not repeated.any():
        return []
    first = ", ".join(cells[order][repeated[order]][:3])
    text = f"{repeated.sum()} cells have an equal cell beside them (first: {first})"
    return [{"id": "equal-cells", "text": f"{text}; equal cells stay in one fold"}]


def _about_linked_groups(units: np.ndarray, groups: np.ndarray | None) -> list[dict[str, str]]:
    if groups is None:
        return []
    per_unit = pd.Series(groups, dtype=object).groupby(units).unique()
    joined = sorted({name for names in per_unit if len(names) > 1 for name in names})
    if not joined:
        return []
    text = f"groups that share equal cells stay in one fold: {', '.join(joined[:5])}"
    return [{"id": "groups-joined", "text": text}]


def _about_training_parts(labels: np.ndarray, fold: np.ndarray, folds: int) -> list[dict[str, str]]:
    """Say which classes cannot be learned in some fold, since all their cells are in it."""
    classes, present = np.unique(labels), {}
    for number in range(1, folds + 1):
        present[number] = np.isin(classes, labels[fold != number])
        if present[number].sum() < 2 or not (fold == number).any():
            raise InputError(
                "E_LABEL_CLASSES",
                f"fold {number} of {folds} leaves fewer than two classes to train on, or no cell "
                "to test",
                fix="give fewer --folds, or a --group whose groups each hold several classes",
            )
    lacking = classes[~np.logical_and.reduce(list(present.values()))]
    if not len(lacking):
        return []
    names = first_few([f"'{name}'" for name in lacking])
    text = f"classes whose cells all lie in one fold can never be called right there: {names}"
    return [{"id": "class-in-one-fold", "text": text}]


def _about_repeats(fold: np.ndarray) -> list[dict[str, str]]:
    """Say where repeats split the cells as an earlier one does, whatever the folds' numbers."""
    same = np.array([pd.factorize(row)[0] for row in fold])
    again = len(same) - len(np.unique(same, axis=0))
    if not again:
        return []
    text = f"{again} of {len(fold)} repeats split the cells as an earlier one does"
    fix = "there are no more ways, so they add nothing, and intervals over folds are too narrow"
    return [{"id": "repeats-equal", "text": f"{text}: {fix}"}]

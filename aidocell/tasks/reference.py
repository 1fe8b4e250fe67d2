"""Labels without training: an existing CellTypist model, set beside labels that the cells have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from aidocell import files
from aidocell.baselines.celltypist_model import label_cells, model_path, read_model
from aidocell.errors import InputError, printable
from aidocell.evaluate.labels import clean_labels
from aidocell.evaluate.tables import write_tsv
from aidocell.files import sha256_file
from aidocell.progress import progress
from aidocell.tables import is_parquet, read_table, verify_table, write_table
from aidocell.tasks.judging import probability_columns
from aidocell.tasks.stored import StoredCells, stored_counts
from aidocell.texttable import table_lines

__all__ = ["Agreement", "agreement_path", "annotate_reference", "compare_labels"]

log = logging.getLogger(__name__)

_STEP = 4096  # cells whose counts are in memory at a time


@dataclass(frozen=True)
class Agreement:
    """How another's labels spread over ours.

    Attributes
    ----------
    types
        One row for each of our types: ``type``, ``cells``, ``reference`` (the label that most of
        them have, the first by name of equally frequent ones) and ``share``, of the cells that
        have it.
    cross
        Cells by type (rows, as in `types`) and reference label (columns).
    """

    types: pd.DataFrame
    cross: pd.DataFrame

    def lines(self) -> list[str]:
        """The types as text for a terminal."""
        rows = [
            (row.type, f"{row.cells:,}", row.reference, f"{row.share:.0%}")
            for row in self.types.itertuples()
        ]
        return table_lines([("type", "cells", "reference", "share"), *rows], right={1, 3})

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write both as one TSV, the cross table to the right with a column ``n_<label>`` each."""
        files.refuse_existing(path, overwrite=overwrite)
        cross = self.cross.rename(columns=lambda name: printable(f"n_{name}"))
        with files.atomic(path) as temporary:
            write_tsv(pd.concat([self.types, cross.reset_index(drop=True)], axis=1), temporary)


def agreement_path(output: str | Path) -> Path:
    """Where the agreement goes that belongs to a table of labels: ``OUT.agreement.tsv``."""
    output = Path(output)
    return output.with_name(f"{output.name.removesuffix('.parquet')}.agreement.tsv")


def annotate_reference(
    counts: Sequence[str | Path],
    output: str | Path,
    *,
    reference: str | Path,
    compare: str | Path | None = None,
    label: str | None = None,
    samples: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Agreement | None:
    """Label the cells of stores of counts by a CellTypist model and write a Parquet table.

    Its columns are ``cell, predicted, probability`` and one ``p_<type>`` for each type of the
    model. Each type is judged against all others by itself: a cell's probabilities do not add up
    to one. Cells without a count are left out by name, with a warning.

    Parameters
    ----------
    counts
        ``counts.zarr.zip``; the model's genes are matched to theirs by symbol.
    reference
        As of :func:`aidocell.baselines.celltypist_model.read_model`.
    compare
        A table of :func:`aidocell.tasks.annotate_files.annotate_apply` for these cells; its
        unknown cells are left out of the comparison.
    label
        Instead, a column of the cells.

    Returns
    -------
    agreement
        Of the labels with the others, also written to :func:`agreement_path`; None where there
        are no others.

    Raises
    ------
    InputError
        As of `read_model`, and ``E_GENES_UNKNOWN``, ``E_NO_CELLS``, ``E_LABEL_MISSING``,
        ``E_STORE_MISMATCH`` (no cell in common), ``E_FILE_FORMAT`` (no such table).
    """
    files.refuse_existing(output, overwrite=overwrite)
    if compare or label:
        files.refuse_existing(agreement_path(output), overwrite=overwrite)
    model = read_model(reference)
    cells = stored_counts(counts, samples)
    ours = _ours(cells, compare, label)
    table = _labelled(cells, model)
    agreement = None if ours is None else _agreement(table, ours)
    made_from = {
        "reference": {"name": str(reference), "sha256": sha256_file(model_path(reference))},
        "counts_digest": [origin["counts_digest"] for origin in cells.provenances],
    }
    write_table(table, output, about=made_from)
    if agreement is not None:
        agreement.write(agreement_path(output), overwrite=overwrite)
    return agreement


def compare_labels(ours: Sequence[str], theirs: Sequence[str]) -> Agreement:
    """Set labels of the same cells side by side; types in the order of their names."""
    cross = pd.crosstab(np.asarray(ours, dtype=object), np.asarray(theirs, dtype=object))
    sizes = cross.sum(axis=1).to_numpy()
    types = pd.DataFrame(
        {
            "type": cross.index.to_numpy(),
            "cells": sizes,
            "reference": cross.columns.to_numpy()[cross.to_numpy().argmax(axis=1)],
            "share": cross.to_numpy().max(axis=1) / sizes,
        }
    )
    return Agreement(types, cross)


def _labelled(cells: StoredCells, model: Any) -> pd.DataFrame:
    types, parts = model.cell_types, []
    known = len(set(cells.genes) & set(model.features))
    log.info("%d of the model's %d genes are among those of the cells", known, len(model.features))
    with progress("Labelling", len(cells.names)) as advance:
        for start in range(0, len(cells.names), _STEP):
            rows = np.arange(start, min(start + _STEP, len(cells.names)))
            parts.append(_block(cells, rows, model))
            advance(len(rows))
    names, labels, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(names):
        raise InputError("E_NO_CELLS", "no cell has a count", fix="give cells with counts")
    own = np.argsort(types)[np.searchsorted(np.sort(types), labels)]
    table = pd.DataFrame(
        {
            "cell": names,
            "predicted": labels,
            "probability": probabilities[np.arange(len(names)), own],
        }
    )
    return pd.concat([table, probability_columns(probabilities, types)], axis=1)


def _block(
    cells: StoredCells, rows: np.ndarray, model: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = cells.counts(rows)
    filled = np.asarray(counts.sum(axis=1)).ravel() > 0
    if not filled.all():
        names = cells.names[rows[~filled]]
        log.warning("left out: %d cells without a count (first: %s)", len(names), names[0])
    return (
        cells.names[rows[filled]].to_numpy(dtype=object),
        *label_cells(model, counts[filled], cells.genes),
    )


def _ours(cells: StoredCells, compare: str | Path | None, label: str | None) -> pd.Series | None:
    """Labels by cell to compare with, without those of unlabelled and unknown cells."""
    if label is not None:
        found = pd.Series(clean_labels(cells.column(label, "--label")), index=cells.names)
        if not (found != "").any():
            fix = "name another column with --label"
            raise InputError("E_LABEL_MISSING", "no cell has a label", fix=fix)
        return found[found != ""]
    return None if compare is None else _predicted(Path(compare))


def _predicted(path: Path) -> pd.Series:
    fix = "give the table that --output of apply named"
    if path.is_file() and not is_parquet(path):
        what = f"{path} is no table of `annotate apply`: it is no Parquet file"
        raise InputError("E_FILE_FORMAT", what, fix=fix)
    verify_table(path)
    there = pq.read_schema(path).names
    if not {"cell", "predicted"} <= set(there) or "fold" in there:
        what = f"{path} is no table of `annotate apply`: it lacks cells and predicted types"
        raise InputError("E_FILE_FORMAT", what, fix=fix)
    wanted = [name for name in ("cell", "predicted", "unknown") if name in there]
    table = read_table(path, columns=wanted)
    if "unknown" in table:
        log.info("left out of the comparison: %d unknown cells", table["unknown"].sum())
        table = table[~table["unknown"]]
    return table.set_index("cell")["predicted"]


def _agreement(table: pd.DataFrame, ours: pd.Series) -> Agreement:
    theirs = table.set_index("cell")["predicted"]
    both = theirs.index[theirs.index.isin(ours.index)]
    if not len(both):
        what = "the cells to compare with are others"
        fix = "give labels of the cells that are labelled here"
        raise InputError("E_STORE_MISMATCH", what, fix=fix)
    if len(both) < len(theirs):
        log.warning(
            "%d of %d cells have nothing to compare with", len(theirs) - len(both), len(theirs)
        )
    return compare_labels(ours.loc[both], theirs.loc[both])

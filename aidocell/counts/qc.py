"""Quality control: which cells of a sample to keep, with the reason, from the metrics of each."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from aidocell.counts.doublets import doublet_scores
from aidocell.counts.metrics import Metrics, measure
from aidocell.counts.options import InputOptions
from aidocell.counts.qctable import COLUMNS, read_qc, write_qc
from aidocell.counts.source import CountSource, open_counts
from aidocell.counts.thresholds import Rule, Thresholds, bounds, rules
from aidocell.errors import InputError
from aidocell.genes import Vocabulary

__all__ = ["qc", "qc_file"]

_NO_COUNT = "no count in the model's genes"
_MANY_COUNTS = 100_000_000  # stored; more of them deserve a word before Scrublet begins
_log = logging.getLogger(__name__)


def qc(
    path: str | Path,
    options: InputOptions | None,
    thresholds: dict,
    *,
    vocabulary: Vocabulary | None = None,
) -> pd.DataFrame:
    """Measure every cell of an INPUT and say which to keep; as :func:`qc_file`, in memory.

    Returns
    -------
    table
        One row a cell in the order of the file, with :data:`~aidocell.counts.qctable.COLUMNS`:
        counts and genes, shares in percent (NaN for a cell without counts), ``doublet_score``
        (NaN where it was not asked for or the cell was removed before), ``kept``, and
        ``reason``, several joined by ``"; "``. ``attrs["bounds"]`` holds the bounds that were
        applied, of each metric.
    """
    with tempfile.TemporaryDirectory(prefix="aidocell-") as folder:
        output = Path(folder) / "qc.parquet"
        qc_file(path, options, output, thresholds=thresholds, vocabulary=vocabulary, made_from={})
        return read_qc(output)


def qc_file(
    path: str | Path,
    options: InputOptions | None,
    output: str | Path,
    *,
    thresholds: dict,
    made_from: Mapping[str, Any],
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write ``qc.parquet``, in memory bounded by a chunk of cells unless doublets are scored.

    Parameters
    ----------
    path, options
        The INPUT and how to read it.
    thresholds
        Keys of :class:`~aidocell.counts.thresholds.Thresholds`; what is missing or ``None`` is
        off.
    made_from
        What the file is, as :meth:`aidocell.counts.options.InputOptions.made_from` has it.
    vocabulary
        The model's genes; the 19,264 if not given. Cells without a count in them are not kept.

    Raises
    ------
    InputError
        Where the INPUT is not accepted; ``E_CONFIG`` for an unknown threshold; ``E_NO_CELLS``
        where no cell is left, with what each filter took.
    """
    limits = Thresholds.of(thresholds)
    with open_counts(path, options) as source:
        metrics = measure(source, vocabulary or Vocabulary.builtin())
        applied = rules(metrics.known, limits)
        scores = None
        if limits.doublets != "off":
            scores = _score(source, _unbroken(metrics, applied), limits)
        if limits.doublets == "remove":
            applied = [*applied, limits.doublet_rule()]
        about = {"made_from": dict(made_from), "bounds": bounds(applied)}
        write_qc(output, _judged(source, metrics, applied, scores), about)


# ---------------------------------------------------------------- decisions


def _judged(
    source: CountSource, metrics: Metrics, applied: Sequence[Rule], scores: np.ndarray | None
) -> Iterator[pd.DataFrame]:
    """The rows of the table, block by block; ``E_NO_CELLS`` at the end if none is kept."""
    kept, taken = 0, Counter()
    names = source.cells.names.blocks()
    for (start, table), cells in zip(metrics.blocks(), names, strict=True):
        stop = start + len(table)
        table["cell"] = cells
        table["doublet_score"] = np.nan if scores is None else scores[start:stop]
        reasons = _reasons(table, applied)
        table["kept"] = [not reason for reason in reasons]
        table["reason"] = ["; ".join(reason) for reason in reasons]
        kept += int(table["kept"].sum())
        taken.update(reason for several in reasons for reason in several)
        yield table[list(COLUMNS)]
    if not kept:
        raise _nothing_left(source, taken)


def _reasons(table: pd.DataFrame, applied: Sequence[Rule]) -> list[list[str]]:
    """Why each cell is not kept; empty lists for cells that are."""
    reasons = [[_NO_COUNT] if n == 0 else [] for n in table["vocabulary_counts"]]
    for rule in applied:
        for cell in np.flatnonzero(rule.breaks(table[rule.metric].to_numpy())):
            reasons[cell].append(rule.reason)
    return reasons


def _unbroken(metrics: Metrics, applied: Sequence[Rule]) -> np.ndarray:
    """Which cells pass all rules, boolean."""
    parts = [[not reason for reason in _reasons(table, applied)] for _, table in metrics.blocks()]
    return np.concatenate([np.array(part, dtype=bool) for part in parts])


def _score(source: CountSource, wanted: np.ndarray, limits: Thresholds) -> np.ndarray:
    """Doublet scores of the cells that passed the other filters, NaN elsewhere."""
    parts = [counts[wanted[start : start + counts.shape[0]]] for start, counts in source.chunks()]
    stored = sum(part.nnz for part in parts)
    if stored > _MANY_COUNTS:
        _log.warning(
            "%s: doublet scores hold all kept cells in memory, here %d stored counts, several times",
            source.where,
            stored,
        )
    scores = np.full(len(wanted), np.nan)
    scores[wanted] = doublet_scores(
        sparse.vstack(parts, format="csr"), seed=limits.seed, where=source.where
    )
    return scores


def _nothing_left(source: CountSource, taken: Counter[str]) -> InputError:
    listed = ", ".join(f"{n:,} by '{reason}'" for reason, n in taken.most_common())
    what = f"no cell of {source.path} is left after QC ({source.shape[0]:,} cells: {listed})"
    return InputError("E_NO_CELLS", what, fix="loosen the threshold that took most of them")

"""What cells that a network did not learn from say of it: how sure it may be, and what is far."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aidocell.evaluate.draw import draw_cells
from aidocell.progress import progress
from aidocell.train.finetune_cells import Cells

if TYPE_CHECKING:
    from aidocell.train.finetuned import FineTuned

__all__ = ["MOST_CELLS", "with_held_out"]

MOST_CELLS = 2_000  # training cells whose classes' means and spread distances are measured by
_AT_LEAST = 10  # of a class
_STEP = 256


def with_held_out(
    tuned: FineTuned,
    cells: Cells,
    vectors: tuple[np.ndarray, np.ndarray] | None,
    *,
    distances: bool,
) -> FineTuned:
    """Add the temperature and, if asked for, distances; unchanged where no cells were set apart.

    The unit of distance is the 99th percentile of the cells set apart, each from the classes as the
    training cells have them, as :mod:`aidocell.tasks.similarity` has it. They are measured where
    the head begins: in the fine-tuned network's own embeddings.

    Parameters
    ----------
    vectors
        Embeddings of training and validation cells, if they are known.
    distances
        Costs another pass of at most :data:`MOST_CELLS` training cells.
    """
    from aidocell.tasks.similarity import distances as measured
    from aidocell.tasks.similarity import in_units, whitened_classes

    if not len(cells.validation):
        return tuned
    held = tuned.pooled(cells.validation.counts) if vectors is None else vectors[1]
    tuned = tuned.calibrated(held, cells.validation.codes)
    if not distances:
        return tuned
    drawn = np.flatnonzero(draw_cells(cells.train.codes, MOST_CELLS, seed=0, at_least=_AT_LEAST))
    own = _pooled(tuned, cells, drawn) if vectors is None else vectors[0][drawn]
    arrays = whitened_classes(own, cells.train.codes[drawn])
    similarity, _ = in_units(measured(arrays, held))
    return replace(tuned, arrays=arrays, content={**tuned.content, "similarity": similarity})


def _pooled(tuned: FineTuned, cells: Cells, rows: np.ndarray) -> np.ndarray:
    parts = []
    with progress("Measuring distances", len(rows)) as advance:
        for start in range(0, len(rows), _STEP):
            parts.append(tuned.pooled(cells.train.counts[rows[start : start + _STEP]]))
            advance(len(parts[-1]))
    return np.concatenate(parts)

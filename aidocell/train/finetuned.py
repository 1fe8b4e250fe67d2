"""A fine-tuned network, and what it says of cells."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.special import softmax

from aidocell.embedding import Embedder, Runtime
from aidocell.errors import InputError
from aidocell.progress import progress
from aidocell.provenance import require_same
from aidocell.train.heads import CellClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMAT", "KIND", "FineTuned", "is_finetuned", "predict_counts"]

log = logging.getLogger(__name__)

FORMAT, KIND = 2, "finetuned"
_STEP = 4096  # cells whose counts are in memory at a time
LARGEST_JSON = 64 << 20  # bytes; far above that of any real one


@dataclass(frozen=True)
class FineTuned:
    """A backbone and a head that tell classes of cells apart.

    Attributes
    ----------
    network
        In evaluation mode.
    classes_
        Sorted names, in the order of the probabilities.
    content
        ``classifier.json`` without its checksums.
    history
        One row an epoch: ``epoch, step, train_loss, validation_loss, validation_macro_f1,
        learning_rate``.
    runtime
        Where and how it computes.
    arrays
        Of the training cells what distances are measured by; none without distances.
    """

    network: CellClassifier
    classes_: np.ndarray
    content: dict[str, Any]
    history: pd.DataFrame
    runtime: Runtime
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """What scores are divided by before the softmax; 1 where nothing was held out."""
        found = self.content["calibration"]
        return 1.0 if found is None else found["temperature"]

    def predict_proba(
        self, counts: sparse.csr_matrix, *, batch_size: int | str = "auto"
    ) -> np.ndarray:
        """Probabilities, shape ``(cells, classes)``, of raw counts over the model's genes.

        On a CPU cells pass one by one, so that what a cell gets does not depend on the others.
        """
        return self.probabilities(self.pooled(counts, batch_size=batch_size))

    def probabilities(self, pooled: np.ndarray) -> np.ndarray:
        """Probabilities, shape ``(cells, classes)``, of cells that are pooled already."""
        return softmax(self._scores(pooled) / self.temperature, axis=1)

    def distances(self, pooled: np.ndarray) -> np.ndarray:
        """Distance of each cell from its nearest class, in units; NaN where there is no unit."""
        from aidocell.tasks.similarity import distances

        similarity = self.content["similarity"]
        if similarity is None:
            return np.full(len(pooled), np.nan)
        return distances(self.arrays, pooled) / similarity["unit"]

    def pooled(self, counts: sparse.csr_matrix, *, batch_size: int | str = "auto") -> np.ndarray:
        """What the head works on, float32, shape ``(cells, hidden)``, of raw counts."""
        counts = sparse.csr_matrix(counts)
        embedder = Embedder(
            self.network.backbone,
            measured=np.ones(counts.shape[1], bool),
            pooling=self.network.pooling,
            runtime=self.runtime,
            batch_size=batch_size,
        )
        empty = np.empty((0, self.network.backbone.config.hidden_size), np.float32)
        return np.concatenate([empty, *embedder.batches(counts)])

    @torch.inference_mode()
    def _scores(self, pooled: np.ndarray) -> np.ndarray:
        """Scores before temperature and softmax, float64, shape ``(cells, classes)``."""
        head = self.network.head.to(self.runtime.device).eval()
        step = 1 if self.runtime.device == "cpu" else _STEP
        parts = [np.empty((0, len(self.classes_)))]
        for start in range(0, len(pooled), step):
            batch = torch.from_numpy(pooled[start : start + step]).to(self.runtime.device)
            parts.append(head(batch).cpu().numpy().astype(np.float64))
        return np.concatenate(parts)

    def calibrated(self, pooled: np.ndarray, codes: np.ndarray) -> FineTuned:
        """With a temperature chosen on these held-out cells."""
        from aidocell.tasks.calibration import calibrate

        uncalibrated = replace(self, content={**self.content, "calibration": None})
        probabilities = uncalibrated.probabilities(pooled)
        found = calibrate(probabilities, self.classes_[codes], self.classes_)
        return replace(self, content={**self.content, "calibration": found})


def is_finetuned(folder: str | Path) -> bool:
    """Whether `folder` says that it is a fine-tuned network; nothing else of it is looked at."""
    path = Path(folder) / "classifier.json"
    try:
        if path.stat().st_size > LARGEST_JSON:
            return False
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # what it is instead is for the reader of other classifiers to say
    return isinstance(content, dict) and content.get("kind") == KIND


def predict_counts(
    folder: str | Path,
    counts: Sequence[str | Path],
    *,
    samples: Sequence[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    attention: str = "auto",
    batch_size: int | str = "auto",
    where: str | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Label the cells of stores of counts by a fine-tuned folder.

    Cells without a count are left out by name, with a warning.

    Parameters
    ----------
    folder
        That `aidocell finetune` wrote; read as one of unknown origin.
    counts
        ``counts.zarr.zip`` over the network's genes.
    samples
        Their samples, if cells are to be called ``<sample>:<barcode>``.
    device, precision, attention, batch_size
        As of :func:`aidocell.embed`.
    where
        What to call the cells in a message; the paths if not given.

    Returns
    -------
    table
        ``cell, predicted, probability, distance``, then one ``p_<class>`` a class.
    content
        What ``classifier.json`` says of the network.

    Raises
    ------
    InputError
        As :func:`aidocell.train.finetuned_folder.load_finetuned`, and ``E_STORE_MISMATCH``:
        counts over other genes; ``E_NO_CELLS``.
    """
    from aidocell.tasks.similarity import warn_if_far
    from aidocell.tasks.stored import stored_counts
    from aidocell.train.finetuned_folder import load_finetuned

    tuned = load_finetuned(folder, device=device, precision=precision, attention=attention)
    cells = stored_counts(counts, samples)
    found = cells.provenances[0]["genes_sha256"]
    where = where or ", ".join(str(path) for path in counts)
    require_same("gene list", tuned.content["genes_sha256"], found, where=where)
    names, parts, far = [], [], []
    with progress("Labelling", len(cells.names)) as advance:
        for start in range(0, len(cells.names), _STEP):
            rows = np.arange(start, min(start + _STEP, len(cells.names)))
            block = cells.counts(rows)
            filled = np.asarray(block.sum(axis=1)).ravel() > 0
            _warn_of_empty(cells.names[rows[~filled]])
            names += cells.names[rows[filled]].tolist()
            pooled = tuned.pooled(block[filled], batch_size=batch_size)
            parts.append(tuned.probabilities(pooled))
            far.append(tuned.distances(pooled))
            advance(len(rows))
    if not names:
        raise InputError("E_NO_CELLS", f"{where} hold no cell with a count", fix="give some")
    distance = np.concatenate(far)
    warn_if_far(distance, where)
    return _table(names, np.concatenate(parts), tuned.classes_, distance), tuned.content


def _warn_of_empty(names: pd.Index) -> None:
    if len(names):
        first = ", ".join(names[:3])
        number = f"{len(names)} cell{'s' * (len(names) != 1)}"
        log.warning("left out: %s without a count (first: %s)", number, first)


def _table(
    names: list[str], probabilities: np.ndarray, classes: np.ndarray, distance: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "cell": names,
            "predicted": classes[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
            "distance": distance,
        }
    )
    columns = [f"p_{name}" for name in classes]
    return pd.concat([table, pd.DataFrame(probabilities, columns=columns)], axis=1)

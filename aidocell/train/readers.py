"""Rows of cells to the input of what is trained: of a whole network, or of a head alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from aidocell.embedding import Embedder, Runtime
from aidocell.model import preprocess
from aidocell.model.attention import without_autocast
from aidocell.progress import progress
from aidocell.train.course import Saving
from aidocell.train.finetune_cells import Cells
from aidocell.train.finetune_loop import Reader
from aidocell.train.heads import CellClassifier
from aidocell.train.saving import load_state, save_state

__all__ = ["Pooled", "counts_reader", "pooled_cells", "vectors_reader"]

_BLOCK = 1024  # cells whose embeddings are saved at a time


def counts_reader(counts: sparse.csr_matrix) -> Reader:
    """The model's input of the rows of a matrix of raw counts."""

    def read(rows: np.ndarray, device: torch.device) -> Tensor:
        return preprocess(torch.from_numpy(counts[rows].toarray()).to(device))

    return read


class Pooled(nn.Module):
    """A head alone, in float32, for cells that are pooled already."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor) -> Tensor:
        with without_autocast(pooled.device):
            return self.head(pooled)


def vectors_reader(vectors: np.ndarray) -> Reader:
    """Rows of embeddings that are known already."""

    def read(rows: np.ndarray, device: torch.device) -> Tensor:
        return torch.from_numpy(vectors[rows]).to(device)

    return read


def pooled_cells(
    network: CellClassifier, cells: Cells, runtime: Runtime, saving: Saving | None
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of training and of validation cells, each embedded once and saved as it comes.

    Shape ``(cells, hidden)``, float32.
    """
    parts = {"train": cells.train.counts, "validation": cells.validation.counts}
    total = sum(counts.shape[0] for counts in parts.values())
    empty = torch.empty(0, network.backbone.config.hidden_size)
    with progress("Embedding", total) as advance:
        train, validation = (
            torch.cat([empty, *_blocks(network, counts, runtime, name, saving, advance)]).numpy()
            for name, counts in parts.items()
        )
    return train, validation


def _blocks(
    network: CellClassifier,
    counts: sparse.csr_matrix,
    runtime: Runtime,
    name: str,
    saving: Saving | None,
    advance: Callable[..., None],
) -> Iterator[Tensor]:
    embedder = Embedder(
        network.backbone,
        measured=np.ones(counts.shape[1], bool),
        pooling=network.pooling,
        runtime=runtime,
    )
    for start in range(0, counts.shape[0], _BLOCK):
        path = None if saving is None else saving.path.with_name(f"{name}-{start}.state")
        rows = counts[start : start + _BLOCK]
        if path is not None and path.exists():
            vectors = load_state(path, key=saving.key)["vectors"]
            advance(len(vectors), saved=True)
        else:
            vectors = torch.from_numpy(np.concatenate(list(_told(embedder.batches(rows), advance))))
            if path is not None:
                save_state(path, key=saving.key, vectors=vectors)
        yield vectors


def _told(batches: Iterator[np.ndarray], advance: Callable[..., None]) -> Iterator[np.ndarray]:
    for batch in batches:
        yield batch
        advance(len(batch))

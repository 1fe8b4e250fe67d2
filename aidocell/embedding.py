"""Aligned counts in, embeddings of cells out.

The hidden states of a cell (19,266 positions × hidden) are pooled where they are made and never
kept. On a CPU cells pass one by one, so that results do not depend on the batch, bit by bit; on a
GPU they pass in batches sized to its memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from aidocell.errors import InputError, MachineError
from aidocell.model import preprocess
from aidocell.model.attention import resolve_attention
from aidocell.progress import progress

if TYPE_CHECKING:
    import anndata as ad

    from aidocell.model import AidoCell, ModelConfig

__all__ = [
    "POOLINGS",
    "PRECISIONS",
    "Embedder",
    "Runtime",
    "embed",
    "pool",
    "require_pooling",
    "resolve_runtime",
]

log = logging.getLogger(__name__)

POOLINGS = ("mean", "max", "measured", "measured_genes", "expressed")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class Runtime:
    """What the options resolved to on this machine: no ``auto`` is left."""

    device: str
    precision: str
    attention: str


def resolve_runtime(
    *, device: str = "auto", precision: str = "auto", attention: str = "auto"
) -> Runtime:
    """Turn ``auto`` into what this machine does: float32 on a CPU, bfloat16 on a GPU.

    Raises
    ------
    InputError
        ``E_USAGE``: an unknown name, a device that is not there, or an attention backend that
        cannot run on it.
    """
    _require_one_of("device", device, ("auto", "cpu", "cuda"))
    _require_one_of("precision", precision, ("auto", *PRECISIONS))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "E_USAGE",
            "this machine has no usable CUDA GPU",
            fix="give --device cpu, or run `aidocell doctor`",
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" else "float32"
    return Runtime(device, precision, resolve_attention(attention, device, PRECISIONS[precision]))


def embed(
    model: AidoCell,
    aligned: ad.AnnData,
    *,
    pooling: str = "mean",
    batch_size: int | str = "auto",
    device: str = "auto",
    precision: str = "auto",
    attention: str = "auto",
) -> np.ndarray:
    """Embed cells.

    Parameters
    ----------
    model
        From :func:`aidocell.load_model`; moved to `device`.
    aligned
        Raw counts over the model's genes, as :func:`aidocell.align` gives them.
    pooling
        How the positions of a cell become one vector, one of :data:`POOLINGS`:
        ``mean`` and ``max`` over all gene positions; ``measured`` over the genes that the file
        measured and both depth tokens; ``measured_genes`` without the depth tokens; ``expressed``
        over the genes with a count in the cell.
    batch_size
        Cells that pass a GPU at once; changes no result on a CPU.
    precision
        ``float32``, ``bfloat16`` or ``auto`` (float32 on a CPU, bfloat16 on a GPU).
    attention
        ``sdpa``, ``flash``, ``reference`` or ``auto``.

    Returns
    -------
    ndarray
        float32, shape ``(cells, hidden)``, rows in the order of `aligned`.

    Raises
    ------
    InputError
        ``E_STORE_MISMATCH``: `aligned` is over other genes than the model's; ``E_EMPTY_CELLS``:
        a cell without a count; ``E_USAGE``: an unknown option.
    """
    runtime = resolve_runtime(device=device, precision=precision, attention=attention)
    if list(aligned.var_names) != list(model.genes.symbols):
        raise InputError(
            "E_STORE_MISMATCH",
            f"the counts are over {aligned.n_vars} genes that are not the model's {len(model.genes)} in its order",
            fix="pass them through aidocell.align(counts, genes=model.genes) first",
        )
    counts = sparse.csr_matrix(aligned.X)
    measured = (
        aligned.var["measured"].to_numpy(bool)
        if "measured" in aligned.var
        else np.ones(aligned.n_vars, bool)
    )
    embedder = Embedder(
        model, measured=measured, pooling=pooling, runtime=runtime, batch_size=batch_size
    )
    batches = [np.empty((0, model.config.hidden_size), np.float32)]
    with progress("Embedding", counts.shape[0]) as advance:
        for batch in embedder.batches(counts):
            batches.append(batch)
            advance(len(batch))
    return np.concatenate(batches)


class Embedder:
    """A model on its device, with the options of a run and the batch size that fits there.

    Parameters
    ----------
    model
        Moved to the device of `runtime`.
    measured
        Boolean (genes): the genes that the sample's file measured.
    pooling
        One of :data:`POOLINGS`.
    batch_size
        Cells that pass a GPU at once; a CPU takes one at a time whatever it is. As an attribute,
        what it has come to.
    """

    def __init__(
        self,
        model: AidoCell,
        *,
        measured: np.ndarray,
        pooling: str,
        runtime: Runtime,
        batch_size: int | str = "auto",
    ) -> None:
        require_pooling(pooling)
        model.to(runtime.device).eval()
        model.attention = runtime.attention
        self.model, self.runtime = model, runtime
        self._measured, self._pooling = measured, pooling
        self.batch_size = _batch_size(model.config, runtime, batch_size)

    def batches(self, counts: sparse.csr_matrix) -> Iterator[np.ndarray]:
        """Yield the embeddings of successive batches of rows, float32 (cells, hidden).

        A GPU that runs out of memory gets half the batch from there on, also in later calls; at one
        cell that is ``E_GPU_MEMORY``.
        """
        start = 0
        while start < counts.shape[0]:
            rows = counts[start : start + self.batch_size]
            try:
                pooled = _forward(self.model, rows, self._measured, self._pooling, self.runtime)
            except torch.cuda.OutOfMemoryError as error:
                self.batch_size = _halved(self.batch_size, self.runtime, error)
                continue
            start += rows.shape[0]
            yield pooled


def pool(
    hidden: torch.Tensor, pooling: str, *, measured: torch.Tensor, expressed: torch.Tensor
) -> torch.Tensor:
    """Reduce hidden states (cells, genes + 2, hidden) to (cells, hidden).

    Parameters
    ----------
    hidden
        Last hidden states; the two depth tokens come last.
    pooling
        One of :data:`POOLINGS`.
    measured
        Boolean (genes): the genes that the sample's file measured.
    expressed
        Boolean (cells, genes): the genes with a count in the cell.
    """
    genes = hidden[:, :-2]
    match pooling:
        case "mean":
            return genes.mean(1)
        case "max":
            return genes.amax(1)
        case "measured":
            return torch.cat([genes[:, measured], hidden[:, -2:]], 1).mean(1)
        case "measured_genes":
            return genes[:, measured].mean(1)
        case "expressed":
            return torch.stack(
                [cell[kept].mean(0) for cell, kept in zip(genes, expressed, strict=True)]
            )
    raise ValueError(pooling)


@torch.inference_mode()
def _forward(
    model: AidoCell, rows: sparse.csr_matrix, measured: np.ndarray, pooling: str, runtime: Runtime
) -> np.ndarray:
    dense = torch.from_numpy(rows.toarray()).to(runtime.device)
    with _autocast(runtime):
        hidden = model(preprocess(dense))
    masks = {"measured": torch.from_numpy(measured).to(runtime.device), "expressed": dense > 0}
    return pool(hidden.float(), pooling, **masks).cpu().numpy()


def _autocast(runtime: Runtime) -> AbstractContextManager:
    if runtime.precision == "float32":
        return nullcontext()
    return torch.autocast(runtime.device, dtype=PRECISIONS[runtime.precision])


def _batch_size(config: ModelConfig, runtime: Runtime, asked: int | str) -> int:
    if asked != "auto" and (not isinstance(asked, int) or asked < 1):
        raise InputError(
            "E_USAGE", f"batch size {asked}", fix="give 'auto' or a whole number from 1"
        )
    if runtime.device == "cpu":
        return 1  # matrix products of another height may round differently
    if asked != "auto":
        return int(asked)
    # what PyTorch keeps for later use is free to the next batch
    free = torch.cuda.mem_get_info()[0]
    free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(np.clip(0.8 * free // _bytes_per_cell(config), 1, _LARGEST_BATCH))


def _bytes_per_cell(config: ModelConfig) -> int:
    """Peak of one cell in float32, generously: bins, residual, q, k, v and the gated product."""
    widths = 3 * config.bin_num + 8 * config.hidden_size + 3 * config.intermediate_size
    return 4 * config.n_positions * widths


def _halved(size: int, runtime: Runtime, error: Exception) -> int:
    torch.cuda.empty_cache()
    if size == 1:
        raise MachineError(
            "E_GPU_MEMORY",
            f"one cell does not fit in the GPU's memory ({runtime.precision}, {runtime.attention} attention)",
            fix="use --precision bfloat16 with --attention sdpa, a smaller model, or a larger GPU",
        ) from error
    log.warning("the GPU ran out of memory at %d cells a batch; going on with %d", size, size // 2)
    return size // 2


def require_pooling(pooling: str) -> None:
    """Raise ``E_USAGE`` for a name that is none of :data:`POOLINGS`."""
    _require_one_of("pooling", pooling, POOLINGS)


def _require_one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            "E_USAGE", f"unknown {what} '{value}'", fix=f"give one of {', '.join(allowed)}"
        )

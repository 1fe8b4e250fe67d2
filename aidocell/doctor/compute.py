"""Devices, attention backends on them, and whether they compute what they should."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse

from aidocell.doctor.finding import Finding
from aidocell.doctor.golden import GOLDEN, small_network
from aidocell.embedding import PRECISIONS, Embedder, Runtime
from aidocell.errors import InputError
from aidocell.model.attention import BACKENDS, resolve_attention

__all__ = ["backends", "devices", "golden_check"]

# Relative to the largest reference value; bfloat16 keeps eight bits, so about 1/256 per operation.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


def devices() -> Iterator[Finding]:
    """What PyTorch can compute on."""
    yield Finding("cpu", True, f"float32 with {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding("gpu", True, "none that this PyTorch can use; embedding runs on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        size = properties.total_memory / 2**30
        yield Finding(f"gpu {index}", True, f"{properties.name}, {size:.0f} GiB, bfloat16")


def backends() -> Iterator[Finding]:
    """Every backend that can run here against the plain formula, on this very device."""
    device = _device()
    for precision, dtype in PRECISIONS.items():
        for name in BACKENDS:
            if name == "reference" and precision == "float32":
                continue  # it is what the others are held against
            what = f"attention {name}, {precision} on {device}"
            try:
                resolve_attention(name, device, dtype)
            except InputError as error:
                yield Finding(what, True, f"not available here: {error.what}")
                continue
            difference = _difference(name, device, dtype)
            yield Finding(
                what,
                difference <= _TOLERANCE[precision],
                f"differs from the reference by {difference:.1e} of its largest value "
                f"(allowed {_TOLERANCE[precision]:.0e}); use --attention reference where it fails",
            )


@torch.inference_mode()
def _difference(attention: str, device: str, dtype: torch.dtype) -> float:
    network = small_network().to(device)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, network.config.n_positions, generator=generator).to(device)
    network.attention = "reference"
    expected = network(values)
    network.attention = attention
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        found = network(values).float()
    return float((found - expected).abs().max() / expected.abs().max())


def golden_check() -> Iterator[Finding]:
    """Counts to embeddings as a run does it, against stored embeddings, on this very device."""
    with np.load(GOLDEN) as stored:
        counts, expected = stored["counts"], stored["embeddings"]
    for precision in PRECISIONS:
        runtime = Runtime(_device(), precision, "sdpa")
        found = _embedded(counts, runtime)
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        yield Finding(
            f"golden check, {precision} on {runtime.device}",
            difference <= _TOLERANCE[precision],
            f"stored embeddings are met within {difference:.1e} of their largest value (allowed "
            f"{_TOLERANCE[precision]:.0e}); where it fails, do not trust this device: run `make env` "
            "anew, or use another machine",
        )


def _embedded(counts: np.ndarray, runtime: Runtime) -> np.ndarray:
    rows = sparse.csr_matrix(counts.astype(np.float32))
    measured = np.ones(counts.shape[1], bool)
    embedder = Embedder(
        small_network(), measured=measured, pooling="mean", runtime=runtime, batch_size=3
    )
    return np.concatenate([*embedder.batches(rows)])


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"

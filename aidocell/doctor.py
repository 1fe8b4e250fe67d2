"""What this machine can do, and what is missing: the look before a long run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from aidocell.embedding import PRECISIONS
from aidocell.errors import InputError
from aidocell.model import AidoCell, ModelConfig, load_model, random_network
from aidocell.model.attention import BACKENDS, resolve_attention

__all__ = ["Finding", "examine", "refusal"]

_PACKAGES = ("torch", "anndata", "zarr", "scanpy", "scikit-learn", "huggingface_hub", "snakemake")
# Relative to the largest reference value; bfloat16 keeps eight bits, so about 1/256 per operation.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes
    ----------
    what
        What was looked at.
    ok
        Whether a run can go on with it.
    detail
        What was found, and what to do about it where it is not well.
    error
        The error that a run would end with, where there is one.
    """

    what: str
    ok: bool
    detail: str
    error: InputError | None = None

    def line(self) -> str:
        """For a person to read."""
        return f"{'ok  ' if self.ok else 'FAIL'} {self.what}: {self.detail}"

    def plain(self) -> dict[str, str | bool]:
        """For a machine to read."""
        return {"what": self.what, "ok": self.ok, "detail": self.detail}


def examine(
    model: str | None = None, *, revision: str | None = None, accept_license: bool = False
) -> list[Finding]:
    """Look at versions, memory, disk, devices, attention backends and, if given, a checkpoint."""
    found = [*_versions(), *_machine(), *_devices(), *_backends()]
    return [*found, _checkpoint(model, revision, accept_license)] if model else found


def refusal(findings: Sequence[Finding]) -> InputError | None:
    """The error that stands for all that is not well."""
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        if finding.error:
            return finding.error
    names = ", ".join(finding.what for finding in wrong)
    fix = "see the lines that begin with FAIL"
    return InputError("E_USAGE", f"this machine is not ready: {names}", fix=fix) if wrong else None


def _versions() -> Iterator[Finding]:
    for package in _PACKAGES:
        if importlib.util.find_spec(package.replace("scikit-learn", "sklearn")):
            yield Finding(package, True, importlib.metadata.version(package))
        elif package == "snakemake":
            yield Finding(package, True, "not installed; only the workflow needs it")
        else:
            yield Finding(package, False, "not installed; run `make env` or `pip install .`")


def _machine() -> Iterator[Finding]:
    memory = psutil.virtual_memory().available / 2**30
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    cores = len(os.sched_getaffinity(0))
    yield Finding("cores", True, str(cores))
    yield Finding("memory", memory >= 2, f"{memory:.1f} GiB free; a job needs at least 2")
    yield Finding("disk", disk >= 2, f"{disk:.1f} GiB free here; a study needs at least 2")


def _devices() -> Iterator[Finding]:
    yield Finding("cpu", True, f"float32 with {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding("gpu", True, "none that this PyTorch can use; embedding runs on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        size = properties.total_memory / 2**30
        yield Finding(f"gpu {index}", True, f"{properties.name}, {size:.0f} GiB, bfloat16")


def _backends() -> Iterator[Finding]:
    """Every backend that can run here against the plain formula, on this very device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
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
    network = _small_model().to(device)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, network.config.n_positions, generator=generator).to(device)
    network.attention = "reference"
    expected = network(values)
    network.attention = attention
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        found = network(values).float()
    return float((found - expected).abs().max() / expected.abs().max())


def _small_model() -> AidoCell:
    config = ModelConfig(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=2,
        intermediate_size=160,
        max_position_embeddings=1000,
        bin_num=100,
        bin_alpha=1.0,
        layer_norm_eps=1e-5,
    )
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw before they are given weights
        return random_network(config, seed=0).eval()


def _checkpoint(model: str, revision: str | None, accept_license: bool) -> Finding:
    try:
        network = load_model(model, revision=revision, accept_license=accept_license)
    except InputError as error:
        return Finding("checkpoint", False, f"{error.what}; {error.fix}", error)
    info = network.checkpoint
    found = f"{info.id}, sha256 {info.sha256[:12]}, {len(network.genes)} genes"
    return Finding("checkpoint", True, found)

"""Attention over all positions, behind one small interface with three backends.

A backend maps queries, keys and values, each ``(cells, heads, positions, width)`` and contiguous
by head, to ``softmax(Q Kᵀ / sqrt(width)) V`` of the same shape. There is no mask of any kind: padded
and masked positions take part like any other, so nothing of size positions × positions is kept.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from aidocell.errors import InputError

__all__ = ["ATTENTION", "AUTO", "BACKENDS", "resolve_attention", "without_autocast"]

# Rows of the positions × positions weights that `reference` holds at a time.
QUERY_BLOCK = 512


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A region in which autocast, if the caller uses it, does not lower the precision."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's fused attention, which picks a kernel for the device and precision."""
    return functional.scaled_dot_product_attention(q, k, v)


def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The plain formula, a block of queries at a time; half precision is widened to float32."""
    wide = torch.promote_types(q.dtype, torch.float32)
    with without_autocast(q.device):
        keys, values = k.to(wide).transpose(-1, -2) / q.shape[-1] ** 0.5, v.to(wide)
        blocks = [
            torch.softmax(block.to(wide) @ keys, -1) @ values
            for block in q.split(QUERY_BLOCK, dim=-2)
        ]
    return torch.cat(blocks, dim=-2).to(q.dtype)


def flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The flash-attn package, which wants ``(cells, positions, heads, width)``."""
    _require_flash(q.device, q.dtype)
    from flash_attn import flash_attn_func

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return flash_attn_func(q, k, v, dropout_p=0.0, causal=False).transpose(1, 2)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sdpa": sdpa,
    "reference": reference,
    "flash": flash,
}
# sdpa runs on every device and in every precision, and on a GPU in half precision it is a flash
# kernel already; `auto` therefore never depends on what else is installed.
AUTO = "sdpa"
ATTENTION = ("auto", *BACKENDS)


def resolve_attention(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> str:
    """Say which backend `name` means, and check that it can run.

    Parameters
    ----------
    name
        One of :data:`ATTENTION`.
    device
        Where the model runs.
    dtype
        Precision of queries, keys and values (under autocast, that of autocast); ``None`` where it
        is not known yet, and `flash` then checks it when it runs.

    Raises
    ------
    InputError
        ``E_USAGE``: no such backend, or `flash` without its package, GPU or precision.
    """
    if name not in ATTENTION:
        raise InputError(
            "E_USAGE", f"there is no attention backend {name!r}", fix=f"use {', '.join(ATTENTION)}"
        )
    if name == "flash":
        _require_flash(torch.device(device), dtype)
    return AUTO if name == "auto" else name


def _require_flash(device: torch.device, dtype: torch.dtype | None) -> None:
    if importlib.util.find_spec("flash_attn") is None:
        raise _no_flash(
            "needs the package flash-attn, which is not installed",
            "install it with `pip install aidocell[flash]` on a machine with the CUDA toolkit, or use --attention sdpa",
        )
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        raise _no_flash(
            f"needs an NVIDIA GPU of the Ampere generation (A100) or later, and the model is on {device}",
            "use --device cuda on such a machine, or --attention sdpa",
        )
    if dtype not in (None, torch.float16, torch.bfloat16):
        raise _no_flash(
            f"computes in half precision only, and the model runs in {str(dtype).split('.')[-1]}",
            "use --precision bfloat16, or --attention sdpa",
        )


def _no_flash(why: str, fix: str) -> InputError:
    return InputError("E_USAGE", f"attention backend 'flash' {why}", fix=fix)

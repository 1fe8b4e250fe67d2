"""One attention layer on a CPU at full length: what a mask and heads that are not in one piece cost.

    OMP_NUM_THREADS=2 python benchmarks/attention_cpu.py

`lean` is what the model does: no mask, queries, keys and values contiguous by head. `strided` leaves the heads as
views of ``(cells, positions, heads, width)``. `naive` builds a mask of positions × positions beside that and does
not use it, as a published implementation does (once for all its layers; here there is one). `masked` uses it,
though it hides nothing. All give the same numbers. Memory is the growth of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from aidocell.model.attention import BACKENDS

RESULTS = Path(__file__).with_name("results")


def lean(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return BACKENDS["sdpa"](*(x.transpose(1, 2).contiguous() for x in (q, k, v)))


def strided(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))


def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    _mask(q)
    return strided(q, k, v)


def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = _mask(q)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _mask(q: Tensor) -> Tensor:
    """What is added to every score: zeros, since no position is hidden."""
    cells, positions = q.shape[:2]
    shown = torch.ones(cells, 1, positions, 1) * torch.ones(cells, 1, 1, positions)
    return (1.0 - shown) * torch.finfo(q.dtype).min


VARIANTS = {"lean": lean, "strided": strided, "naive": naive, "masked": masked}


def main() -> None:
    options = _options()
    if options.variant:
        print(json.dumps(_measure(VARIANTS[options.variant], options)))
        return
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "positions": options.positions,
        "heads": options.heads,
        **{name: _in_a_process(name, options) for name in VARIANTS},
        "largest_difference": _difference(options),
    }
    for name in list(VARIANTS)[1:]:
        result[f"ratio_{name}"] = round(result[name]["seconds"] / result["lean"]["seconds"], 2)
    print(json.dumps(result, indent=2))
    (options.output / "attention-cpu.json").write_text(json.dumps(result, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--positions", type=int, default=19266)
    parser.add_argument("--heads", type=int, default=4, help="of width 32; 4 is the 3M model")
    parser.add_argument("--repeats", type=int, default=7, help="of which the fastest counts")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(variant: str, options: argparse.Namespace) -> dict:
    """Measure one variant where nothing else has used memory."""
    numbers = [str(n) for n in (options.positions, options.heads, options.repeats)]
    flags = ["--positions", "--heads", "--repeats"]
    command = [sys.executable, __file__, "--variant", variant]
    for flag, number in zip(flags, numbers, strict=True):
        command += [flag, number]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.inference_mode()
def _measure(variant, options: argparse.Namespace) -> dict:
    q, k, v = _inputs(options.positions, options.heads)
    before = _peak()
    seconds = []
    for _ in range(options.repeats + 1):
        begun = time.perf_counter()
        variant(q, k, v)
        seconds.append(time.perf_counter() - begun)
    return {
        "seconds": round(min(seconds[1:]), 3),
        "memory_gib": round((_peak() - before) / 2**20, 2),
    }


@torch.inference_mode()
def _difference(options: argparse.Namespace) -> float:
    inputs = _inputs(min(options.positions, 2000), options.heads)
    expected = lean(*inputs)
    return max(float((expected - other(*inputs)).abs().max()) for other in (strided, naive, masked))


def _inputs(positions: int, heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values of one cell as linear maps give them."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, positions, heads, 32, generator=generator).unbind()


def _peak() -> int:
    """Largest resident size so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()

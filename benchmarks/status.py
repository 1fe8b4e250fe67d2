"""How long a look at a large run takes: `aidocell status` on made-up results.

A results folder as a run half-way leaves it: of every sample's shards a third are finished, a third
have a log without an end, and a third have failed. Each look is a process of its own, as on the
command line; its processor time is what a busy machine does not change.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from aidocell.provenance import VERSION

RESULTS = Path(__file__).parent / "results" / "status.json"
KEY = "0123456789ab"
CELLS = 2000
START = "2026-11-27 04:00:00 INFO [{0}] started on node1, process 12, Slurm job 77\n"
LINE = "2026-11-27 04:00:30 INFO [{0}] Rows 0-2000: {1} of 2000 cells, 1.5 cells/s, 0:20:10 left\n"
FAILED = (
    "2026-11-27 04:30:00 ERROR [{0}] error[E_GPU_MEMORY]: one cell does not fit; take another\n"
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_sample(results: Path, name: str, shards: int) -> None:
    """One sample: its outputs, its plan, and the logs and stores of its shards."""
    for output in ("audit.json", "qc.parquet", "counts.zarr.zip"):
        write(results / "samples" / name / output, "")
    for rule in ("check", "qc", "align", "plan"):
        done = START.format(name) + f"2026-11-27 04:00:09 INFO [{name}] done\n"
        write(results / "logs" / rule / f"{name}.log", done)
    rows = [[n * CELLS, (n + 1) * CELLS] for n in range(shards)]
    write(results / "samples" / name / "shards.json", json.dumps({"key": KEY, "shards": rows}))
    for number, (start, stop) in enumerate(rows):
        lines = START.format(name) + "".join(LINE.format(name, n) for n in range(100, 2000, 100))
        if number % 3 == 0:
            write(results / "samples" / name / f"shards/{KEY}/{start}-{stop}.zarr.zip", "")
        elif number % 3 == 1:
            lines += FAILED.format(name)
        write(results / f"logs/embed_shard/{name}/{KEY}/{start}-{stop}.log", lines)


def look(results: Path, *options: str) -> dict[str, float]:
    """Wall and processor time of one `aidocell status`, in seconds."""
    program = "from aidocell.cli import main; main()"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-c", program, "status", str(results), *options]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - began
    return {"wall_s": round(wall, 2), "processor_s": round(used, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--shards", type=int, default=20, help="of each sample")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.samples):
            make_sample(Path(folder), f"s{number:04d}", options.shards)
        figures = {"text": look(Path(folder)), "json": look(Path(folder), "--json")}
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        },
        "versions": {"aidocell": VERSION, "python": platform.python_version()},
        "load_before": round(os.getloadavg()[0], 1),
        "samples": options.samples,
        "shards": options.samples * options.shards,
        "look": figures,
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

"""The benchmarks run, and the GPU's needs nothing that a bare machine lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# Stands in for a machine that has torch and numpy and little else.
BLOCKER = """
import sys
ABSENT = {"anndata", "h5py", "huggingface_hub", "pandas", "pyarrow", "rich", "safetensors", "scanpy",
          "scipy", "sklearn", "typer", "yaml", "zarr"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ImportError(f"{name} is not on this machine")

sys.meta_path.insert(0, Blocker())
"""


def run(command, **environment):
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_gpu_benchmark_runs_where_there_is_little_but_torch(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    command = [BENCHMARKS / "gpu.sh", "--device", "cpu", "--quick", "--output", tmp_path / "out"]
    run(command, PYTHON=sys.executable, PYTHONPATH=str(tmp_path))
    (written,) = (tmp_path / "out").iterdir()
    result = json.loads(written.read_text())
    assert result["exact"] is True
    measured = [row for row in result["exactness"] if "exact" in row]
    assert {(row["model"], row["backend"], row["precision"]) for row in measured} == {
        (model, backend, precision)
        for model in ("tiny", "3M")
        for backend in ("sdpa", "reference")
        for precision in ("float32", "bfloat16")
    }
    assert all("cells_per_second" in row or "skipped" in row for row in result["speed"])


def test_the_attention_benchmark_finds_equal_numbers(tmp_path):
    script = BENCHMARKS / "attention_cpu.py"
    run(
        [sys.executable, script, "--positions", "300", "--output", tmp_path],
        PYTHONPATH=str(BENCHMARKS.parent),
    )
    result = json.loads((tmp_path / "attention-cpu.json").read_text())
    assert result["largest_difference"] < 1e-5
    assert result["lean"]["seconds"] > 0

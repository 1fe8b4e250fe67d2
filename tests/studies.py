"""A small study in a folder of its own, run by the real Snakemake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from small import ROOT, TINY, make_cells

__all__ = ["Study"]

CONFIG = {
    "samples": "samples.tsv",
    "model": str(TINY),
    "qc": {"min_genes": 5},
    "embed": {"shard_cells": 25},
    "annotate": {
        "label": "cell_type",
        "folds": 3,
        "methods": ["logistic", "genes-logistic", "majority"],
    },
    "report": {"title": "Small study"},
}


class Study:
    """A working directory with config, sheet and inputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        (folder / "config").mkdir(parents=True)
        self.configure()

    @classmethod
    def at(cls, folder: Path) -> Study:
        """One that is there already."""
        study = cls.__new__(cls)
        study.folder, study.results = folder, folder / "results"
        return study

    def configure(self, **sections) -> None:
        config = {**CONFIG, **sections}
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config))

    def add_sample(self, name: str, *, cells: int = 40, seed: int = 0) -> Path:
        path = self.folder / f"{name}.h5ad"
        make_cells(cells, seed=seed).write_h5ad(path)
        return path

    def list_samples(self, *lines: str, header: str = "sample\tpath") -> None:
        (self.folder / "samples.tsv").write_text("\n".join([header, *lines]) + "\n")

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=1200
        )
        assert not check or done.returncode == 0, done.stderr[-4000:]
        return done

    def command(self, *arguments: str) -> list[str]:
        snakefile = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder)]
        return [sys.executable, "-m", "snakemake", *snakefile, *arguments]

    def jobs(self, *arguments: str) -> set[str]:
        """Rules that a dry run would run."""
        lines = self.snakemake("--dry-run", *arguments).stdout.splitlines()
        if not any(line.startswith("job ") for line in lines):
            return set()
        table = lines[next(i for i, line in enumerate(lines) if line.startswith("job ")) + 2 :]
        return {line.split()[0] for line in table[: table.index("")]} - {"total"}

    def times(self, pattern: str) -> dict[str, int]:
        """Modification times of outputs: an untouched file keeps its own."""
        found = self.results.glob(pattern)
        return {str(p.relative_to(self.results)): p.stat().st_mtime_ns for p in found}

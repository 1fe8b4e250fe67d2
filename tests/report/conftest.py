from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import make_results
import pytest

from aidocell.report import Study, load_study, write_report


@dataclass(frozen=True)
class Made:
    """A results folder, its study, and the report written from it."""

    results: Path
    report: Path
    study: Study

    def page(self, name: str = "report.html") -> str:
        return (self.report / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("study")
    results = make_results.make_results(folder / "results")
    options = {"config": make_results.CONFIG, "command": "snakemake --cores 2"}
    write_report(results, make_results.SHEET, folder / "report", **options)
    return Made(results, folder / "report", load_study(results, make_results.SHEET, **options))

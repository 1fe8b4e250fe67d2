"""Every kind of bad input gets its error: one line, with its id, and nothing is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import bad_damage
import bad_files
import bad_matrices
import bad_outputs
import bad_studies
import pytest
from cases import CASES, Case, Outcome, run, words_of

from aidocell.errors import CATALOGUE

MODULES = (bad_damage, bad_files, bad_matrices, bad_outputs, bad_studies)
# What no file or word of a user brings about alone: disks and GPUs that are full, bare arrays,
# stores of one study that differ, hashes that only the hub announces. They have tests of their own.
ELSEWHERE = {
    "E_DISK_FAILED",
    "E_DISK_FULL",
    "E_EMPTY_CELLS",
    "E_GPU_MEMORY",
    "E_GROUP_LEAK",
    "E_MEMORY",
    "E_MODEL_HASH",
    "E_STORE_MISMATCH",
}


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setenv("AIDOCELL_PROBE_GIB", "1")


def require_refused(case: Case, outcome: Outcome) -> None:
    assert outcome.line.startswith(f"error[{case.id}]: "), outcome.stderr
    assert re.fullmatch(r"error\[E_[A-Z_]+\]: .+; .+", outcome.line)
    assert outcome.line.isprintable()
    assert outcome.status == case.status
    assert "Traceback" not in outcome.stderr
    for text in case.says:
        assert text in outcome.line
    assert outcome.left == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.id}-{case.name}")
def test_bad_input_is_named_in_one_line_and_leaves_nothing(case, tmp_path):
    require_refused(case, run(case, tmp_path))


@pytest.mark.parametrize("id", sorted({case.id for case in CASES}))
def test_a_process_of_its_own_ends_alike(id, tmp_path):
    made = next(c for c in CASES if c.id == id)
    (tmp_path / "out").mkdir()
    words = made.make(tmp_path)
    if callable(words):
        pytest.skip("met by the workflow, not by a command")
    command = [Path(sys.executable).with_name("aidocell"), *words_of(words, tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    left = [] if id == "E_OUTPUT_EXISTS" else sorted(p.name for p in (tmp_path / "out").iterdir())
    assert [name for name in left if not name.endswith(".lock")] == []
    require_refused(made, Outcome(ended.returncode, ended.stderr, []))


def test_the_list_is_long_and_has_every_id_that_input_can_raise():
    assert len(CASES) >= 80
    assert {case.id for case in CASES} == CATALOGUE.keys() - ELSEWHERE

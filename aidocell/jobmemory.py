"""Memory of a job by rule: what it needs, and what the Slurm profile asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from aidocell.configured import WORKFLOW
from aidocell.report.jobs import Job

__all__ = ["memory_of_jobs"]

_ASSUMED = {"check": 1000, "qc": 1000, "align": 1000, "embed_shard": 2000, "gather": 1000}  # MiB


def memory_of_jobs(jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """What each rule needs in MiB, measured where it has run, beside what the profile asks for."""
    asked = _asked_by_profile(WORKFLOW / "profiles/slurm/config.yaml")
    memory = {}
    for rule, assumed in _ASSUMED.items():
        measured = [job.mebibytes for job in jobs if job.stage == rule and job.mebibytes]
        memory[rule] = {
            "needed_mib": round(max(measured)) if measured else assumed,
            "source": "measured" if measured else "assumed",
            "asked_mib": asked.get(rule, asked.get("default")),
        }
    return memory


def _asked_by_profile(path: Path) -> dict[str, int]:
    """``mem_mb`` of a first attempt, by rule and under ``default``; what is no number is left out."""
    profile = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    given = {"default": profile.get("default-resources") or {}}
    given |= profile.get("set-resources") or {}
    found = {
        rule: re.fullmatch(r"(?:attempt \* )?(\d+)", str((resources or {}).get("mem_mb")))
        for rule, resources in given.items()
    }
    return {rule: int(match[1]) for rule, match in found.items() if match}

"""What this machine can do, and what is missing: the look before a long run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aidocell.doctor.compute import backends, devices, golden_check
from aidocell.doctor.finding import Finding
from aidocell.doctor.resources import machine, packages
from aidocell.doctor.site import checkpoint, hub_findings, slurm
from aidocell.doctor.studyfiles import study_files
from aidocell.errors import AidocellError, InputError

__all__ = ["Finding", "examine", "refusal"]


def examine(
    model: str | None = None,
    *,
    revision: str | None = None,
    accept_license: bool = False,
    config: str | Path | None = None,
) -> list[Finding]:
    """Look at versions, memory, disks, devices, attention, Slurm, the study's files and a checkpoint.

    Parameters
    ----------
    model, revision, accept_license
        A checkpoint to load, as for :func:`aidocell.load_model`; fetched if need be. Without it the
        configuration's is looked for, and nothing is fetched.
    config
        The study's ``config.yaml``; relative paths in it are looked for in the working directory.
    """
    study, findings = study_files(config) if config else (None, [])
    found = [*packages(), *machine(), *devices(), *backends(), *golden_check(), *slurm(), *findings]
    if model:
        return [*found, *hub_findings(model, revision), checkpoint(model, revision, accept_license)]
    if study:
        name, commit = study["model"], study["model_revision"]
        accepted = study["accept_model_license"]
        hub = hub_findings(name, commit)
        return [*found, *hub, checkpoint(name, commit, accepted, fetch=False)]
    return found


def refusal(findings: Sequence[Finding]) -> AidocellError | None:
    """The error that stands for all that is not well."""
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        if finding.error:
            return finding.error
    names = ", ".join(finding.what for finding in wrong)
    fix = "see the lines that begin with FAIL"
    return InputError("E_USAGE", f"this machine is not ready: {names}", fix=fix) if wrong else None

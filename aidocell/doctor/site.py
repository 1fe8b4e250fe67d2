"""What is around the machine: Slurm, and the hub or its cache."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from aidocell.doctor.finding import Finding
from aidocell.errors import AidocellError
from aidocell.model import hub, load_model

__all__ = ["checkpoint", "hub_findings", "slurm"]

_SECONDS = 20  # that a command of Slurm may take
_LEAST_AGE = 120  # seconds for which squeue has to remember ended jobs


def slurm() -> Iterator[Finding]:
    """Whether Slurm is here, answers, and by which command jobs can be followed."""
    if not shutil.which("sbatch"):
        yield Finding("slurm", True, "not here; only `--profile slurm` needs it")
        return
    settings = _answer("scontrol", "show", "config")
    if settings is None:
        yield Finding("slurm", False, "scontrol has no answer; is the controller up? Ask the site")
        return
    yield Finding("slurm", True, _setting(settings, "SLURM_VERSION") or "answers")
    yield _status_command(settings)


def _status_command(settings: str) -> Finding:
    """Which of the plugin's two ways of following jobs works here."""
    age = int((re.match(r"\d+", _setting(settings, "MinJobAge")) or ["0"])[0])
    squeue = _answer("squeue", "--me", "--noheader") is not None
    sacct = _answer("sacct", "--noheader", "--allocations") is not None
    what, remembers = "slurm-status-command", f"squeue remembers ended jobs for {age} s (MinJobAge)"
    if squeue and age >= _LEAST_AGE:
        return Finding(
            what, True, f"squeue; {remembers}; sacct {'works, too' if sacct else 'fails'}"
        )
    if sacct:
        return Finding(what, True, f"sacct: set it in the profile; {remembers}")
    why = remembers if squeue else "squeue fails"
    return Finding(
        what, False, f"{why}, and sacct fails; ask the site for MinJobAge=300 or for accounting"
    )


def _answer(*command: str) -> str | None:
    """What a command of Slurm writes; None where it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _setting(settings: str, name: str) -> str:
    found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", settings, re.MULTILINE)
    return found[1] if found else ""


def hub_findings(model: str, revision: str | None) -> Iterator[Finding]:
    """Whether the hub answers or its cache has the checkpoint; nothing for a folder."""
    if Path(model).exists() or not hub.is_hub_id(model):
        return
    cached, answers = hub.is_cached(model, revision), hub.answers(model, revision)
    copy = f"{model} is cached" if cached else f"{model} is not cached"
    if answers:
        later = "" if cached else "; it is fetched by the rule `model`, where Snakemake is started"
        yield Finding("hub", True, f"answers; {copy}{later}")
        return
    fetch = (
        f"; run `hf download {model}` where the hub answers, with an HF_HOME that this machine sees"
    )
    fix = "" if cached else fetch
    yield Finding("hub", cached, f"does not answer for {model}; {copy}{fix}")


def checkpoint(
    model: str, revision: str | None, accept_license: bool, *, fetch: bool = True
) -> Finding:
    """Load a checkpoint; without `fetch`, one of the hub only from the cache."""
    remote = not Path(model).exists() and hub.is_hub_id(model)
    if remote and not fetch and not hub.is_cached(model, revision):
        return Finding("checkpoint", True, f"{model} is not here yet; give --model to fetch it now")
    try:
        network = load_model(model, revision=revision, accept_license=accept_license)
    except AidocellError as error:
        return Finding.of("checkpoint", error)
    info = network.checkpoint
    found = f"{info.id}, sha256 {info.sha256[:12]}, {len(network.genes)} genes"
    return Finding("checkpoint", True, found)

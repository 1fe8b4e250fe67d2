"""Versions, memory and disks."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from aidocell.doctor.finding import Finding

__all__ = ["machine", "packages"]

_SHOWN = ("torch", "anndata", "zarr", "scanpy", "scikit-learn", "huggingface_hub")
_OPTIONAL = {  # by the extra that asks for it: who needs it
    "workflow": "only the workflow needs it",
    "report": "only the report needs it",
}
_GIB = 2**30
_LEAST_GIB = 2


def packages() -> Iterator[Finding]:
    """Versions against what the package's metadata ask for."""
    yield Finding("python", True, platform.python_version())
    try:
        wanted = [Requirement(line) for line in requires("aidocell") or ()]
    except PackageNotFoundError:
        yield Finding("packages", True, "aidocell is not installed here, so no version is compared")
        return
    for requirement in wanted:
        extra = _extra(requirement)
        if extra == "" or extra in _OPTIONAL:
            finding = _package(requirement, _OPTIONAL.get(extra))
            if extra or requirement.name in _SHOWN or not finding.ok:
                yield finding


def _extra(requirement: Requirement) -> str | None:
    """The extra that asks for it: "" for none, None for one of development."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return ""
    return next((e for e in _OPTIONAL if requirement.marker.evaluate({"extra": e})), None)


def _package(requirement: Requirement, needed_by: str | None) -> Finding:
    name, fix = requirement.name, "run `make env` or `pip install .`"
    try:
        found = version(name)
    except PackageNotFoundError:
        missing = f"not installed; {needed_by or fix}"
        return Finding(name, needed_by is not None, missing)
    if found not in requirement.specifier:
        return Finding(name, False, f"{found}, and {requirement.specifier} is needed; {fix}")
    return Finding(name, True, found)


def machine() -> Iterator[Finding]:
    """Cores, memory also under the limits of a job, and the disks that a run writes to."""
    yield Finding("cores", True, str(len(os.sched_getaffinity(0))))
    yield _memory()
    fixes = {
        "disk": (Path.cwd(), "run in a folder on another disk"),
        "disk for temporary files": (Path(tempfile.gettempdir()), "point TMPDIR to another one"),
        "disk of the hub's cache": (_hub_cache(), "point HF_HOME to another one"),
    }
    for what, (folder, fix) in fixes.items():
        yield _disk(what, folder, fix)


def _memory() -> Finding:
    free = {"free": psutil.virtual_memory().available, **_limits()}
    least = min(free.values())
    told = ", ".join(f"{size / _GIB:.1f} GiB {what}" for what, size in free.items())
    ok = least >= _LEAST_GIB * _GIB
    remedy = "" if ok else "; ask for more (mem_mb, --mem), or take another machine"
    return Finding("memory", ok, f"{told}; a job needs at least {_LEAST_GIB}{remedy}")


def _limits() -> dict[str, int]:
    """Limits on this process in bytes, where there are any."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits = {} if soft == resource.RLIM_INFINITY else {"allowed by ulimit -v": soft}
    sizes = [size for path in _cgroup_files() if (size := _number(path)) is not None]
    total = psutil.virtual_memory().total
    if sizes and min(sizes) < total:  # version 1 writes "no limit" as a huge number
        limits["allowed by the control group"] = min(sizes)
    return limits


def _cgroup_files() -> Iterator[Path]:
    """Files with the memory limit of this process's control group and of those around it."""
    root = Path("/sys/fs/cgroup")
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        folder = Path(path.lstrip("/"))
        for part in (folder, *folder.parents):
            if controllers == "":
                yield root / part / "memory.max"
            elif "memory" in controllers.split(","):
                yield root / "memory" / part / "memory.limit_in_bytes"


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):  # there is no such file at the root, and "max" is no limit
        return int(path.read_text())
    return None


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _disk(what: str, folder: Path, fix: str) -> Finding:
    there = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    free = shutil.disk_usage(there).free / _GIB
    if not os.access(there, os.W_OK):
        return Finding(what, False, f"{folder} may not be written to; {fix}")
    ok = free >= _LEAST_GIB
    remedy = "" if ok else f"; free some space, or {fix}"
    return Finding(
        what, ok, f"{free:.1f} GiB free in {folder}; a study needs at least {_LEAST_GIB}{remedy}"
    )

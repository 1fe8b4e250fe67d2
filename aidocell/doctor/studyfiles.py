"""The study's config, its sheet, and every file that the sheet names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aidocell.configured import SCHEMA, read_config, read_samples
from aidocell.doctor.finding import Finding
from aidocell.errors import InputError
from aidocell.study import Sample

__all__ = ["study_files"]

_NAMED = 3


def study_files(path: str | Path) -> tuple[dict[str, Any] | None, list[Finding]]:
    """The checked config, None where it is not valid, and what was found.

    Parameters
    ----------
    path
        ``config.yaml``; relative paths in it are looked for in the working directory, then in the
        repository, as the workflow does.
    """
    if not SCHEMA.exists():
        told = "not checked: the workflow is not beside this package; use that of its repository"
        return None, [Finding("config", True, told)]
    try:
        config = read_config(path)
    except InputError as error:
        return None, [Finding.of("config", error)]
    valid = Finding("config", True, f"{path} is valid")
    try:
        samples = read_samples(config)
    except InputError as error:
        return config, [valid, Finding.of("sample sheet", error)]
    sheet = Finding("sample sheet", True, f"{len(samples):,} samples")
    return config, [valid, sheet, _files([*samples.values()])]


def _files(samples: Sequence[Sample]) -> Finding:
    """Whether every file that the sheet names can be read from here."""
    named = [(sample, path) for sample in samples for path in _paths(sample)]
    wrong = [f"{path} of {s.name} ({why})" for s, path in named if (why := _unreadable(path))]
    if not wrong:
        return Finding("sample files", True, f"{len(named):,}, all readable from here")
    more = f" and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
    what = f"cannot be read: {', '.join(wrong[:_NAMED])}{more}"
    fix = "check path and permissions, also on the compute nodes"
    return Finding.of("sample files", InputError("E_FILE_MISSING", what, fix=fix))


def _paths(sample: Sample) -> Iterator[Path]:
    yield Path(sample.path)
    yield from (Path(path) for path in (sample.metadata, sample.options.cells) if path)


def _unreadable(path: Path) -> str | None:
    """Why a file or folder cannot be read; None where it can."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            with path.open("rb") as handle:
                handle.read(1)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None

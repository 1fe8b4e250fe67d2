"""The list of a study's outputs with their checksums."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from aidocell.errors import InputError
from aidocell.files import atomic, sha256_file
from aidocell.store import SUFFIX, verify

__all__ = ["MANIFEST", "find_damage", "write_manifest"]

MANIFEST = "manifest.tsv"
_COLUMNS = ("path", "sha256", "maker")


def write_manifest(outputs: Mapping[str, Sequence[str]], path: str | Path) -> None:
    """Write path (relative to the manifest), sha256 and maker of every output.

    Parameters
    ----------
    outputs
        Files or folders by the rule that made them.
    """
    root = Path(path).parent
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for maker, names in outputs.items():
            for file in sorted(file for name in names for file in _files(Path(name))):
                writer.writerow((file.relative_to(root).as_posix(), sha256_file(file), maker))


def find_damage(path: str | Path) -> list[InputError]:
    """Errors of a store, or of every output in a results folder's manifest; empty if all is whole."""
    path = Path(path)
    try:
        if path.is_dir() or path.name == MANIFEST:
            manifest = path / MANIFEST if path.is_dir() else path
            return [error for row in _rows(manifest) for error in _row_damage(manifest.parent, row)]
        if not path.name.endswith(SUFFIX):
            raise _unknown(path)
        verify(path)
    except InputError as error:
        return [error]
    return []


def _files(path: Path) -> list[Path]:
    """`path`, or the files in it; hidden ones are Snakemake's own marks."""
    if not path.is_dir():
        return [path]
    return [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")]


def _rows(manifest: Path) -> list[dict[str, str]]:
    if not manifest.is_file():
        raise InputError(
            "E_FILE_MISSING",
            f"{manifest.parent} has no {MANIFEST}",
            fix="give a results folder of a finished run, or single stores",
        )
    try:
        with manifest.open(newline="", encoding="utf-8") as handle:
            header, *lines = csv.reader(handle, delimiter="\t", strict=True)
        if tuple(header) != _COLUMNS or not lines:
            raise ValueError("no such table")
        return [dict(zip(_COLUMNS, line, strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise InputError(
            "E_STORE_DAMAGED", f"{manifest} is no manifest", fix="run the study again"
        ) from error


def _row_damage(root: Path, row: dict[str, str]) -> list[InputError]:
    file = root / row["path"]
    try:
        if not file.resolve().is_relative_to(root.resolve()):
            return [_damage(file, "lies outside the results folder")]
        if not file.is_file():
            return [_damage(file, "is gone", fix="run the study again")]
        if sha256_file(file) != row["sha256"]:
            return [_damage(file, "is not as it was written")]
    except (OSError, ValueError, RuntimeError) as error:  # what can be no path, or a loop of links
        return [_damage(file, f"cannot be read ({error})")]
    return []


def _damage(file: Path, what: str, *, fix: str = "delete it and run the study again") -> InputError:
    return InputError("E_STORE_DAMAGED", f"{file} {what}", fix=fix)


def _unknown(path: Path) -> InputError:
    if not path.exists():
        return InputError("E_FILE_MISSING", f"{path} does not exist", fix="check the path")
    return InputError(
        "E_FILE_FORMAT",
        f"{path} carries no checksum of its own",
        fix=f"give a {SUFFIX} file or a results folder",
    )

"""The list of a study's outputs with their checksums, and what is wrong with outputs on disk."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from aidocell.errors import InputError
from aidocell.files import atomic, sha256_file
from aidocell.provenance import require_same
from aidocell.records import read_record
from aidocell.stages.shards import shard_paths
from aidocell.store import SUFFIX, StoreReader, verify

__all__ = ["MANIFEST", "find_damage", "maker_of", "write_manifest"]

MANIFEST = "manifest.tsv"
_COLUMNS = ("path", "sha256", "maker")
_RECORDS = ("audit.json", "model.json", "shards.json", "summary.json")
_ADMISSION = "admission.tsv"
_SAMPLE = re.compile(r"samples/([^/]+)/[^/]+")
# who makes what: a changed maker is noticed, and so is a line that is gone
_MAKERS = {
    "model": r"model\.json",
    "admit": r"admission\.tsv",
    "check": r"samples/[^/]+/audit\.json",
    "qc": r"samples/[^/]+/qc\.parquet",
    "align": r"samples/[^/]+/counts\.zarr\.zip",
    "plan": r"samples/[^/]+/shards\.json",
    "gather": r"samples/[^/]+/embeddings\.zarr\.zip",
    "annotate": r"study/annotate/.+",
    "finetune": r"study/finetune/.+",
    "map": r"study/map\.parquet",
    "report": r"report/.+",
}
_REMAKE = "delete it and run the study again"
_REWRITE = f"delete {MANIFEST} and run the study again"
_PLACES = ("*", "samples/*/*", "study/*", "study/annotate/**/*", "study/finetune/*", "report/**/*")


def write_manifest(outputs: Mapping[str, Sequence[str]], path: str | Path) -> None:
    """Write path (relative to the manifest), sha256 and maker of every output.

    Parameters
    ----------
    outputs
        Files or folders by the rule that made them.
    """
    root = Path(path).parent
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        _write(_listed(outputs, root), handle)


def maker_of(path: str) -> str | None:
    """The rule that makes an output, by its path within the results; None for no output."""
    return next((maker for maker, form in _MAKERS.items() if re.fullmatch(form, path)), None)


def find_damage(path: str | Path) -> list[InputError]:
    """Errors of one output, or of all in a results folder; empty if all is whole.

    Stores, Parquet tables and JSON records are checked by their own seals, a results folder (or
    its manifest) by the manifest; there the shards of the plans, which are in no manifest, are
    checked by themselves. What an earlier study left in the folder is passed over.
    """
    path = Path(path)
    try:
        if path.is_dir() or path.name == MANIFEST:
            return list(_folder_damage(path / MANIFEST if path.is_dir() else path))
        _verify_file(path)
    except InputError as error:
        return [error]
    return []


def _verify_file(path: Path) -> None:
    """Check one file by the seal that it carries."""
    if path.name.endswith(SUFFIX):
        verify(path)
    elif path.suffix == ".parquet" and path.exists():
        from aidocell.tables import verify_table  # here, since it imports pandas

        verify_table(path)
    elif path.name in _RECORDS and path.exists():
        read_record(path)
    else:
        raise _unknown(path)


def _folder_damage(manifest: Path) -> Iterator[InputError]:
    root, rows = manifest.parent, _rows(manifest)
    for row in rows:
        yield from _row_damage(root, row)
    for file in _unlisted(root, {row["path"] for row in rows}):
        yield _damage(file, f"is not in {MANIFEST}", fix=_REWRITE)
    plans = [root / row["path"] for row in rows if row["maker"] == "plan"]
    for plan in plans:
        yield from _shard_damage(plan)


def _shard_damage(path: Path) -> Iterator[InputError]:
    """Errors of a plan's shards that are on disk; of a damaged plan none."""
    try:
        plan, shards = read_record(path), [Path(shard) for shard in shard_paths(path)]
    except InputError:
        return
    for shard in filter(Path.is_file, shards):
        try:
            verify(shard)
            with StoreReader(shard) as store:
                found = store.provenance.get("run_key")
            require_same("run key", plan["run_key"], found, where=str(shard), fix=_REMAKE)
        except InputError as error:
            yield error


def _unlisted(root: Path, listed: set[str]) -> Iterator[Path]:
    """Outputs of this study that the manifest lacks."""
    verdicts = _verdicts(root / _ADMISSION)
    makers = {maker_of(path) for path in listed}
    for file in sorted({file for place in _PLACES for file in root.glob(place)}):
        path = file.relative_to(root).as_posix()
        maker = maker_of(path)
        if path in listed or maker is None or file.is_dir() or file.name.startswith("."):
            continue
        if sample := _SAMPLE.fullmatch(path):
            # what lies there of a sample that left the sheet, or is refused now, is no part of it
            verdict = verdicts.get(sample[1])
            of_study = verdict == "yes" or (verdict == "no" and maker == "check")
        else:
            of_study = maker not in ("annotate", "finetune") or maker in makers
        if of_study:
            yield file


def _verdicts(admission: Path) -> dict[str, str]:
    """Which samples the study has; what is wrong with the table itself its checksum tells."""
    try:
        with admission.open(newline="", encoding="utf-8") as handle:
            rows = csv.DictReader(handle, delimiter="\t")
            return {row["sample"]: row["accepted"] for row in rows}
    except (OSError, ValueError, KeyError, csv.Error):
        return {}


def _listed(outputs: Mapping[str, Sequence[str]], root: Path) -> Iterator[tuple[str, str, str]]:
    for maker, names in outputs.items():
        for file in sorted(file for name in names for file in _files(Path(name))):
            yield file.relative_to(root).as_posix(), sha256_file(file), maker


def _write(rows: Iterable[Sequence[str]], handle: io.TextIOBase) -> None:
    writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)


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
        text = manifest.read_bytes().decode("utf-8")
        header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
        if tuple(header) != _COLUMNS or not lines or _text(lines) != text:
            raise ValueError("no such table")
        rows = [dict(zip(_COLUMNS, line, strict=True)) for line in lines]
        if len({row["path"] for row in rows}) < len(rows):
            raise ValueError("a path is there twice")
        return rows
    except (ValueError, csv.Error) as error:
        raise InputError(
            "E_STORE_DAMAGED",
            f"{manifest} is no manifest as aidocell writes it",
            fix=_REMAKE,
        ) from error


def _text(lines: Iterable[Sequence[str]]) -> str:
    """The table as it is written, to which a change of any byte is a difference."""
    buffer = io.StringIO(newline="")
    _write(lines, buffer)
    return buffer.getvalue()


def _row_damage(root: Path, row: dict[str, str]) -> list[InputError]:
    file = root / row["path"]
    try:
        if not file.resolve().is_relative_to(root.resolve()):
            return [_damage(file, "lies outside the results folder")]
        if not file.is_file():
            return [_damage(file, "is gone", fix="run the study again")]
        if sha256_file(file) != row["sha256"]:
            return [_damage(file, "is not as it was written")]
        if maker_of(row["path"]) not in (None, row["maker"]):
            return [_damage(file, f"has the wrong maker in {MANIFEST}", fix=_REWRITE)]
    except (OSError, ValueError, RuntimeError) as error:  # what can be no path, or a loop of links
        return [_damage(file, f"cannot be read ({error})")]
    return []


def _damage(file: Path, what: str, *, fix: str = _REMAKE) -> InputError:
    return InputError("E_STORE_DAMAGED", f"{file} {what}", fix=fix)


def _unknown(path: Path) -> InputError:
    if not path.exists():
        return InputError("E_FILE_MISSING", f"{path} does not exist", fix="check the path")
    return InputError(
        "E_FILE_FORMAT",
        f"{path} carries no checksum of its own",
        fix=f"give a {SUFFIX} file, a table or record of a study, or a results folder",
    )

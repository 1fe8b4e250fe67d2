"""A classifier's folder: arrays and JSON that can be passed on safely.

``arrays.npz`` (never pickled) and ``classifier.json``, and for people ``README.md`` and
``unknown.tsv``, what each threshold of unknown cells keeps and flags. The JSON records the sha256
of the arrays and of its own content, so damage is noticed; both are read as if they came from a
stranger.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd

from aidocell import files
from aidocell.errors import InputError
from aidocell.evaluate.tables import write_tsv
from aidocell.provenance import run_key
from aidocell.tasks.card import write_card
from aidocell.tasks.classifier import Classifier
from aidocell.tasks.classifier_schema import FORMAT, arrays_of, require_sense
from aidocell.tasks.folder_content import FolderKind
from aidocell.tasks.similarity import array_shapes

__all__ = ["FORMAT", "load_classifier", "read_content", "save_classifier"]

_KIND = FolderKind(
    what="classifier",
    short="classifier",
    again="train it anew",
    given="give the folder that 'aidocell annotate train' wrote",
    largest=64 << 20,
)

# What zipfile and numpy raise on a file made to break them; `SyntaxError` is an array's header.
_UNREADABLE = (
    ArithmeticError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def save_classifier(classifier: Classifier, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; equal classifiers give equal bytes."""
    files.refuse_existing(folder, overwrite=overwrite)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        np.savez(temporary / "arrays.npz", allow_pickle=False, **classifier.arrays)
        content = {
            **classifier.content,
            "arrays_sha256": files.sha256_file(temporary / "arrays.npz"),
        }
        content["content_sha256"] = run_key(**content)
        files.write_json(temporary / "classifier.json", content)
        write_card(content, temporary / "README.md")
        if content["unknown"] is not None:
            curve = pd.DataFrame(content["unknown"]["curve"])
            write_tsv(curve, temporary / "unknown.tsv")


def load_classifier(folder: str | Path) -> Classifier:
    """Read a classifier's folder as one of unknown origin; nothing in it is executed.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``: no such folder. ``E_FILE_FORMAT``: not a classifier, or of a newer
        version. ``E_FILE_DAMAGED``: content that makes no sense. ``E_MODEL_HASH``: content other
        than what its checksums record.
    """
    folder = Path(folder)
    content = read_content(folder)
    arrays_file = folder / "arrays.npz"
    if not arrays_file.is_file():
        raise _KIND.damaged(folder, "arrays.npz is missing")
    _KIND.require_hash(content.pop("arrays_sha256"), files.sha256_file(arrays_file), arrays_file)
    classifier = Classifier(_read_arrays(arrays_file, arrays_of(content)), content)
    try:
        classifier.fitted  # noqa: B018  shapes are checked where the method is put together
        _require_distances(classifier)
    except ValueError as error:
        raise _KIND.damaged(folder, str(error)) from error
    return classifier


def read_content(folder: Path) -> dict[str, Any]:
    """``classifier.json`` with the checksum of the arrays; errors as of :func:`load_classifier`."""
    return _KIND.read_content(folder, require_format=_require_format, require_sense=require_sense)


def _require_format(content: Any, folder: Path) -> None:
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(
            "E_FILE_FORMAT",
            f"{folder} is no classifier of format {FORMAT}: classifier.json says {found!r}",
            fix="train it anew, or use the version of aidocell that wrote it",
        )


def _require_distances(classifier: Classifier) -> None:
    if classifier.content["similarity"] is None:
        return
    width, classes = len(classifier.arrays["mean"]), len(classifier.classes)
    for name, shape in array_shapes(width, classes).items():
        if classifier.arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {classifier.arrays[name].shape}")


def _read_arrays(path: Path, kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read exactly the arrays that are named, finite and of the right kind."""
    try:
        _require_members(path, sorted(f"{name}.npy" for name in kinds))
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in kinds}
        for name, kind in kinds.items():
            dtype = arrays[name].dtype
            if dtype.kind != kind or not dtype.isnative or not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} does not hold finite numbers of its kind")
    except _UNREADABLE as error:
        raise _KIND.damaged(path.parent, f"arrays.npz cannot be read: {error}") from error
    return arrays


def _require_members(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if sorted(member.filename for member in members) != names:
        raise ValueError(f"it does not hold just {', '.join(names)}")
    # np.savez stores without compression; anything else could unpack to any size
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")

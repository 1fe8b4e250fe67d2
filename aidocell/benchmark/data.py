"""A data set of the benchmark: fetched, aligned and described, or why it is unavailable."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aidocell import files
from aidocell.baselines import Unavailable
from aidocell.benchmark.download import Fetched, fetch_dataset, fetch_file
from aidocell.benchmark.sources import DATA
from aidocell.counts.align import align_file
from aidocell.counts.options import InputOptions
from aidocell.errors import InputError
from aidocell.evaluate.labels import clean_labels
from aidocell.evaluate.leaks import Side, about_leaks
from aidocell.records import write_record
from aidocell.store import SUFFIX
from aidocell.tasks.stored import StoredCells, stored_counts

__all__ = ["PARTS", "WHOLE", "prepare_clustering", "prepare_dataset", "store_of"]

log = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
WHOLE = "cells"  # the one part of a data set for clustering
# What the configuration or the machine has wrong; all else that is refused is the files' own.
_OURS = ("E_USAGE", "E_CONFIG", "E_LABEL_MISSING", "E_LAYER_MISSING", "E_GENE_COLUMN")


def prepare_dataset(folder: str | Path, dataset: Mapping[str, Any], *, min_share: float) -> None:
    """Fetch the published files of a data set and align their counts to the 19,264 genes.

    Parameters
    ----------
    folder
        Gets ``data.json``, and ``train.zarr.zip`` and so on where the data set is available.
    dataset
        Its section of the configuration.
    min_share
        Share of all counts that has to be on genes of the vocabulary, between 0 and 1.
    """

    def fetched(_: Path) -> dict[str, Fetched]:
        named = {part: dataset[part] for part in PARTS if dataset[part]}
        found = fetch_dataset(
            dataset["repository"], list(named.values()), revision=dataset["revision"]
        )
        return dict(zip(named, found, strict=True))

    _prepare(folder, dataset, fetched, min_share)


def prepare_clustering(folder: str | Path, dataset: Mapping[str, Any], *, min_share: float) -> None:
    """The same for one file by path or URL; its only part is ``cells``."""

    def fetched(temporary: Path) -> dict[str, Fetched]:
        return {WHOLE: fetch_file(dataset["path"], temporary, sha256=dataset["sha256"])}

    _prepare(folder, dataset, fetched, min_share)


def store_of(folder: str | Path, part: str) -> Path:
    """The aligned counts of a part."""
    return Path(folder) / f"{part}{SUFFIX}"


def _prepare(
    folder: str | Path, dataset: Mapping[str, Any], fetched: Any, min_share: float
) -> None:
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        try:
            sources = fetched(temporary)
            about = _aligned(temporary, dataset, sources, min_share)
            for path in temporary.glob("download-*"):
                files.remove(path)
        except (Unavailable, InputError) as error:
            if getattr(error, "id", None) in _OURS:
                raise
            reason = error.what if isinstance(error, InputError) else str(error)
            log.warning("%s is unavailable: %s", dataset["name"], reason)
            for path in temporary.iterdir():
                files.remove(path)
            about = {"status": "unavailable", "reason": reason, "parts": {}}
        write_record(temporary / DATA, {"name": dataset["name"], **about})


def _aligned(
    folder: Path, dataset: Mapping[str, Any], sources: Mapping[str, Fetched], min_share: float
) -> dict[str, Any]:
    reading = {name: dataset[name] for name in ("layer", "gene_ids", "round")}
    parts, sides = {}, []
    for part, source in sources.items():
        store = store_of(folder, part)
        audit = align_file(source.path, store, options=InputOptions(**reading), min_share=min_share)
        cells = stored_counts([store], None)
        parts[part] = {**_about_source(source), **_about_cells(cells, dataset["label"], audit)}
        sides.append(Side(f"{part} file", cells.names.to_numpy(), None, cells.blocks))
    leaks, notes = about_leaks(sides)
    return {
        "status": "available",
        "reason": "",
        "parts": parts,
        "leaks": leaks,
        "warnings": [note["text"] for note in notes],
    }


def _about_source(source: Fetched) -> dict[str, Any]:
    """Where a file came from; not where it lies, so that equal files give equal records."""
    return {name: value for name, value in asdict(source).items() if name != "path"}


def _about_cells(cells: StoredCells, label: str, audit: Mapping[str, Any]) -> dict[str, Any]:
    labels = clean_labels(cells.column(label, "label of config/benchmark.yaml"))
    names, sizes = np.unique(labels[labels != ""], return_counts=True)
    return {
        "cells": audit["cells"],
        "labelled": int(sizes.sum()),
        "classes": dict(zip(names.tolist(), sizes.tolist(), strict=True)),
        "genes": audit["genes"],
        "genes_measured": audit["measured"],
        "vocabulary": audit["vocabulary"],
        "counts_resolved": audit["share_resolved"],
    }

"""One method on one published split with one seed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.baselines import METHODS, Unavailable
from aidocell.benchmark.config import Run
from aidocell.benchmark.data import store_of
from aidocell.benchmark.models import where
from aidocell.benchmark.sources import DATA, Sources
from aidocell.counts.align import align_file
from aidocell.genes import Vocabulary
from aidocell.records import read_record
from aidocell.tasks.annotate import evaluate_split, write_evaluation
from aidocell.tasks.labelled import Labelled, choose
from aidocell.tasks.stored import StoredCells, stored_counts, stored_embeddings
from aidocell.train.options import Network

__all__ = ["TABLES", "judge_method"]

TABLES = "evaluation"
# Of the data set, which its own notes tell, or of no weight for one method.
_TOLD_ELSEWHERE = ("leak", "names-shared", "validation-unused")


def judge_method(
    folder: Path,
    run: Run,
    sources: Sources,
    *,
    label: str,
    seed: int,
    draws: int,
    settings: Mapping[str, Any],
    device: str = "auto",
) -> dict[str, Any]:
    """Judge a method by the published test cells.

    Parameters
    ----------
    folder
        Gets ``evaluation/``, the tables of :func:`aidocell.tasks.annotate.write_evaluation`.
    label
        Column of the classes.
    settings
        As of :func:`aidocell.tasks.annotate.evaluate`, without ``genes``.
    device
        Where a network is computed; all else is computed on the CPU.

    Returns
    -------
    about
        Entries of ``run.json``: times, cells, leaks, notes, device.

    Raises
    ------
    Unavailable
        The method cannot run here, or on these cells.
    """
    if "reference" in METHODS[run.method].takes and settings["reference"] is None:
        raise Unavailable("no CellTypist model is named as reference in config/benchmark.yaml")
    parts = read_record(sources.data / DATA)["parts"]
    with tempfile.TemporaryDirectory(prefix="aidocell-") as work:
        stored = {part: _stored(sources, part, Path(work), settings) for part in parts}
        cells = {
            part: _labelled(found, label, embedded=run.embedded) for part, found in stored.items()
        }
        genes = None if run.embedded else stored["train"].genes
    result = evaluate_split(
        cells["train"],
        cells["test"],
        valid=cells.get("valid"),
        methods=[run.method],
        seed=seed,
        settings={"genes": genes, **settings},
        draws=draws,
        allow_leaks=True,
    )
    if run.method in result.summary["unavailable"]:
        raise Unavailable(result.summary["unavailable"][run.method])
    write_evaluation(result, folder / TABLES)
    times = result.run_times[["fit_seconds", "predict_seconds"]].to_numpy().sum()
    warnings = result.summary["warnings"]
    return {
        "seconds": float(times),
        "embedding_seconds": sum(sources.made_with["seconds"].values()),
        "test_cells": len(cells["test"].cells),
        "leaks": result.summary["leaks"],
        "notes": [note["text"] for note in warnings if note["id"] not in _TOLD_ELSEWHERE],
        **_device(run, sources, device, settings),
    }


def _stored(sources: Sources, part: str, work: Path, settings: Mapping[str, Any]) -> StoredCells:
    """The cells of a part: embedded ones, or counts over the genes of the method's network."""
    if sources.embeddings is not None:
        return stored_embeddings([store_of(sources.embeddings, part)], None)
    store = store_of(sources.data, part)
    cells = stored_counts([store], None)
    if sources.model is None:
        return cells
    wanted = read_record(sources.model)["checkpoint"]["genes_sha256"]
    if cells.provenances[0]["genes_sha256"] == wanted:
        return cells
    fitting = store_of(work, part)
    align_file(store, fitting, vocabulary=_genes(settings["network"]), min_share=0)
    return stored_counts([fitting], None)


def _genes(network: Network) -> Vocabulary:
    from aidocell.model import load_model

    given = {"revision": network.revision, "accept_license": network.accept_license}
    return load_model(network.model, **given).genes


def _labelled(cells: StoredCells, label: str, *, embedded: bool) -> Labelled:
    """All of the cells that have a label."""
    chosen = choose(cells.column(label, "label"), cells.names, least_classes=1)
    if embedded:
        return chosen.with_matrices(embeddings=cells.vectors(chosen.rows))
    return chosen.with_matrices(counts=cells.counts(chosen.rows))


def _device(run: Run, sources: Sources, device: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where the heavy part was computed, and on how many GPUs."""
    found, gpus = sources.made_with, 1
    if "network" in METHODS[run.method].takes:
        found, gpus = where(device), settings["network"].options.devices
    return {"device": found["device"], "gpus": gpus if found["gpu"] else 0}

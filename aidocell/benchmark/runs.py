"""One method on one published split with one seed."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aidocell import files
from aidocell.baselines import METHODS, Unavailable
from aidocell.benchmark.config import Run
from aidocell.benchmark.data import read_dataset, store_of
from aidocell.benchmark.models import EMBEDDED, require_available, where
from aidocell.counts.align import align_file
from aidocell.genes import Vocabulary
from aidocell.records import read_record, write_record
from aidocell.tasks.annotate import evaluate_split, write_evaluation
from aidocell.tasks.labelled import Labelled, choose
from aidocell.tasks.stored import StoredCells, stored_counts, stored_embeddings
from aidocell.train.options import Network

__all__ = ["RUN", "TABLES", "Sources", "run_method"]

log = logging.getLogger(__name__)

RUN, TABLES = "run.json", "evaluation"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a run reads.

    Attributes
    ----------
    data
        Folder of :func:`aidocell.benchmark.data.prepare_dataset`.
    embeddings
        Folder of :func:`aidocell.benchmark.models.embed_dataset`, for methods on embeddings.
    model
        Record of :func:`aidocell.benchmark.models.find_model`, for methods with a network.
    """

    data: Path
    embeddings: Path | None = None
    model: Path | None = None


def run_method(
    folder: str | Path,
    run: Run,
    sources: Sources,
    *,
    label: str,
    seed: int,
    draws: int,
    settings: Mapping[str, Any],
    device: str = "auto",
) -> None:
    """Judge a method by the published test cells, or say why it is unavailable.

    Parameters
    ----------
    folder
        Gets ``run.json`` and, where the method ran, ``evaluation/`` with the tables of
        :func:`aidocell.tasks.annotate.write_evaluation`.
    label
        Column of the classes.
    settings
        As of :func:`aidocell.tasks.annotate.evaluate`, without ``genes``.
    device
        Where networks and embeddings are computed; all else is computed on the CPU.
    """
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        try:
            about = _judged(temporary, run, sources, label, seed, draws, dict(settings), device)
        except Unavailable as error:
            log.warning("%s is unavailable: %s", run.name, error)
            about = {"status": "unavailable", "reason": str(error)}
        named = {"run": run.name, "method": run.method, "model": run.model, "seed": seed}
        write_record(temporary / RUN, {**named, **about})


def _judged(
    folder: Path,
    run: Run,
    sources: Sources,
    label: str,
    seed: int,
    draws: int,
    settings: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    made_with = _require_sources(sources)
    parts = read_dataset(sources.data)["parts"]
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
    return {
        "status": "regenerated",
        "reason": "",
        "seconds": float(times),
        "embedding_seconds": sum(made_with.get("seconds", {}).values()),
        "test_cells": len(cells["test"].cells),
        "leaks": result.summary["leaks"],
        "notes": [note["text"] for note in result.summary["warnings"] if note["id"] != "leak"],
        **_device(run, made_with, device, settings),
    }


def _require_sources(sources: Sources) -> dict[str, Any]:
    """The record of the embeddings, if any; `Unavailable` where something is."""
    records = [read_dataset(sources.data)]
    if sources.model is not None:
        records.append(read_record(sources.model))
    if sources.embeddings is not None:
        records.append(read_record(sources.embeddings / EMBEDDED))
    require_available(*records)
    return records[-1] if sources.embeddings is not None else {}


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


def _device(
    run: Run, made_with: Mapping[str, Any], device: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Where the heavy part was computed, and on how many GPUs."""
    if run.embedded:
        return {"device": made_with["device"], "gpus": int(made_with["gpu"])}
    if "network" not in METHODS[run.method].takes:
        return {"device": "CPU", "gpus": 0}
    found = where(device)
    devices = settings["network"].options.devices
    return {"device": found["device"], "gpus": devices if found["gpu"] else 0}

"""What each rule of the workflow does for one sample; the scripts only unpack names."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from aidocell.counts import InputOptions, open_counts
from aidocell.counts.align import align_file
from aidocell.counts.audit import check
from aidocell.counts.qc import qc, read_qc, write_qc
from aidocell.counts.subset import choose_cells
from aidocell.errors import InputError, printable
from aidocell.files import atomic, write_json
from aidocell.genes import Vocabulary, vocabulary_of
from aidocell.model import CheckpointInfo, checkpoint_info
from aidocell.sharding import plan_shards
from aidocell.study import cell_table
from aidocell.tasks.annotate_files import annotate_evaluate, annotate_train

__all__ = [
    "admit",
    "admitted_samples",
    "align_sample",
    "annotate_study",
    "audit_or_refusal",
    "check_sample",
    "describe_model",
    "plan_sample",
    "qc_sample",
    "shard_paths",
]

log = logging.getLogger(__name__)

_ADMISSION = ("sample", "accepted", "cells", "error", "what", "fix")


def describe_model(
    model: str, output: str | Path, *, revision: str | None, accept_license: bool
) -> None:
    """Fetch the checkpoint if need be and write what it is, ``model.json``."""
    write_json(
        output, asdict(checkpoint_info(model, revision=revision, accept_license=accept_license))
    )


def check_sample(
    path: str, options: InputOptions, output: str | Path, *, model: str, min_share: float
) -> None:
    """Write the sample's audit; a refused sample's says why, and the study decides later."""
    genes = vocabulary_of(model)
    audit, error = audit_or_refusal(path, options, vocabulary=genes, min_share=min_share)
    if error:
        log.warning("refused: %s", error)
    write_json(output, audit)


def audit_or_refusal(
    path: str | Path, options: InputOptions, *, vocabulary: Vocabulary | None, min_share: float
) -> tuple[dict, InputError | None]:
    """The audit of an INPUT, or the record of why it is refused and the error itself."""
    try:
        return check(path, options, vocabulary=vocabulary, min_share=min_share), None
    except InputError as error:
        reason = {"id": error.id, "what": error.what, "fix": error.fix}
        return {"accepted": False, "path": str(path), "error": reason}, error


def admit(audits: Mapping[str, str | Path], output: str | Path, *, on_bad_sample: str) -> None:
    """Write the table of samples that go on, ``admission.tsv``.

    Parameters
    ----------
    audits
        ``audit.json`` of each sample, by name.
    on_bad_sample
        ``stop``: one refused sample ends the run, after all are listed; ``skip``: the others go on.

    Raises
    ------
    InputError
        The first refused sample's error, or ``E_NO_CELLS`` where none is left.
    """
    rows = [
        _admission_row(name, json.loads(Path(path).read_text())) for name, path in audits.items()
    ]
    table = pd.DataFrame(rows, columns=_ADMISSION)
    refused = table[~table["accepted"]]
    for row in refused.itertuples():
        log.error("sample %s is refused: %s: %s; %s", row.sample, row.error, row.what, row.fix)
    if len(refused) == len(table) or (len(refused) and on_bad_sample == "stop"):
        first = refused.iloc[0]
        raise InputError(
            first["error"],
            f"{len(refused)} of {len(table)} samples are refused, first {first['sample']}: {first['what']}",
            fix=f"{first['fix']}; or set on_bad_sample: skip to go on without them",
        )
    with atomic(output) as temporary:
        table.to_csv(temporary, sep="\t", index=False)


def _admission_row(name: str, audit: dict) -> dict[str, Any]:
    error = audit.get("error", {"id": "", "what": "", "fix": ""})
    row = {"sample": name, "accepted": audit["accepted"], "cells": audit.get("cells", 0)}
    return {
        **row,
        "error": error["id"],
        "what": printable(error["what"]),
        "fix": printable(error["fix"]),
    }


def admitted_samples(admission: str | Path) -> list[str]:
    """Names of the samples that go on, in the order of the sheet."""
    table = pd.read_csv(admission, sep="\t", dtype={"sample": str})
    return table.loc[table["accepted"], "sample"].tolist()


def qc_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    thresholds: Mapping[str, Any],
    model: str,
) -> None:
    """Write ``qc.parquet``: one row a cell, kept or why not."""
    write_qc(output, qc(path, options, dict(thresholds), vocabulary=vocabulary_of(model)))


def align_sample(
    path: str,
    options: InputOptions,
    output: str | Path,
    *,
    qc_table: str | Path,
    model: str,
    min_share: float,
    subset: Mapping[str, Any],
    metadata: str | None,
    columns: Mapping[str, str],
) -> None:
    """Write the kept cells over the model's genes, ``counts.zarr.zip``.

    Parameters
    ----------
    qc_table
        ``qc.parquet`` of the sample.
    subset
        The configuration's ``subset``: number of cells, column to balance over, seed.
    metadata, columns
        What the sample sheet adds to the cells, as in :func:`aidocell.study.cell_table`.
    """
    table = read_qc(qc_table)
    kept = table.loc[table["kept"], "cell"].tolist()
    with open_counts(path, options) as source:
        own = source.obs
    added = cell_table(own.index, metadata=metadata, columns=columns)
    if subset["cells"] is not None:
        known = own.drop(columns=added.columns, errors="ignore").join(added).loc[kept]
        log.info("drawing %d of %d kept cells", subset["cells"], len(kept))
        kept = choose_cells(
            known, number=subset["cells"], balance=subset["balance"], seed=subset["seed"]
        )
    align_file(
        path,
        output,
        options=options,
        vocabulary=vocabulary_of(model),
        keep=kept,
        extra_obs=added,
        min_share=min_share,
        overwrite=True,
    )


def plan_sample(
    counts: str | Path, model_record: str | Path, output: str | Path, *, embed: Mapping[str, Any]
) -> None:
    """Write the sample's plan, ``shards.json``, for the checkpoint in ``model.json``."""
    plan_shards(
        counts,
        output,
        checkpoint=CheckpointInfo(**json.loads(Path(model_record).read_text())),
        pooling=embed["pooling"],
        precision=embed["precision"],
        attention=embed["attention"],
        shard_cells=embed["shard_cells"],
    )


def shard_paths(plan: str | Path) -> list[str]:
    """Paths of a plan's shards, beside the plan."""
    planned = json.loads(Path(plan).read_text())
    folder = Path(plan).parent / "shards" / planned["key"]
    return [f"{folder}/{start}-{stop}.zarr.zip" for start, stop in planned["shards"]]


def annotate_study(
    folder: str | Path,
    *,
    samples: Sequence[str],
    embeddings: Sequence[str],
    counts: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Judge every method on the labelled cells of all samples, then train the classifier.

    Parameters
    ----------
    folder
        ``study/annotate``; the tables, and the folder ``classifier``.
    embeddings, counts
        Stores of the samples, in their order.
    options
        The configuration's ``annotate``.
    """
    shared = {
        name: options[name] for name in ("label", "group", "folds", "seed", "min_cells_per_class")
    }
    annotate_evaluate(
        folder,
        embeddings=embeddings,
        counts=counts,
        samples=samples,
        methods=options["methods"],
        overwrite=True,
        **shared,
    )
    annotate_train(
        embeddings,
        Path(folder) / "classifier",
        samples=samples,
        method=options["classifier"],
        overwrite=True,
        **shared,
    )

"""Annotation from stores to files: what the command line and the workflow call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from aidocell import files
from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.provenance import require_same
from aidocell.seal import read_seal
from aidocell.store import EMBEDDING, read_store
from aidocell.tables import write_table
from aidocell.tasks.annotate import Evaluation, evaluate, write_evaluation
from aidocell.tasks.classifier import Classifier, apply, embedding_of
from aidocell.tasks.classifier_folder import load_classifier, save_classifier
from aidocell.tasks.train import require_trainable, train

__all__ = ["annotate_apply", "annotate_evaluate", "annotate_train"]


@dataclass(frozen=True)
class Cells:
    """Cells of one or several stores, in order.

    Attributes
    ----------
    obs
        Table of the cells, indexed by unique name.
    matrix
        Embeddings (ndarray) or raw counts (CSR), one row a cell.
    provenances
        Of each store; among embeddings all that matters is the same.
    """

    obs: pd.DataFrame
    matrix: np.ndarray | sparse.csr_matrix
    provenances: list[dict[str, Any]]


def annotate_evaluate(
    output: str | Path,
    *,
    label: str,
    embeddings: Sequence[str | Path] = (),
    counts: Sequence[str | Path] = (),
    samples: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    group: str | None = None,
    folds: int = 5,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Cross-validate methods on labelled stores and write the tables.

    Parameters
    ----------
    output
        Folder of the tables; with `overwrite` it is replaced as a whole.
    label, group
        Columns of the cells. With `samples`, ``sample`` is a column too.
    embeddings, counts
        ``embeddings.zarr.zip`` and ``counts.zarr.zip`` of the same samples in the same order;
        either may be left out. The cells are those of the embeddings, if there are any.
    samples
        Names of the samples: cells are then called ``<sample>:<barcode>``.
    methods
        Keys of :data:`aidocell.baselines.METHODS`; None means all that the stores allow.

    Raises
    ------
    InputError
        As :func:`aidocell.tasks.annotate.evaluate`, and ``E_STORE_MISMATCH``,
        ``E_STORE_DAMAGED``, ``E_OUTPUT_EXISTS``.
    """
    files.refuse_existing(output, overwrite=overwrite)
    embedded = _read_embeddings(embeddings, samples) if embeddings else None
    counted = _read_counts(counts, samples) if counts else None
    cells = embedded or counted
    if cells is None:
        raise InputError("E_CONFIG", "there are no cells", fix="give embeddings or counts")
    if embedded and counted:
        counted = _matched(counted, embedded)
    available = {"embedding": embedded, "counts": counted, "labels": cells}
    result = evaluate(
        _column(cells.obs, label, "--label"),
        cells.obs.index,
        methods=methods or [name for name, m in METHODS.items() if available[m.needs]],
        embeddings=embedded.matrix if embedded else None,
        counts=counted.matrix if counted else None,
        groups=_column(cells.obs, group, "--group") if group else None,
        folds=folds,
        seed=seed,
        min_cells_per_class=min_cells_per_class,
    )
    result.summary.update({"label": label, "group": group})
    result.summary["embedding"] = embedding_of(embedded.provenances[0]) if embedded else None
    result.summary["embeddings"] = [read_seal(Path(path)) for path in embeddings]
    write_evaluation(result, output, overwrite=overwrite)
    return result


def annotate_train(
    embeddings: Sequence[str | Path],
    output: str | Path,
    *,
    label: str,
    samples: Sequence[str] | None = None,
    method: str = "logistic",
    group: str | None = None,
    folds: int = 5,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    overwrite: bool = False,
) -> Classifier:
    """Train a classifier on labelled embeddings, judge it by cross-validation, write its folder.

    Parameters as in :func:`annotate_evaluate`; `method` is ``logistic`` or ``knn``.
    """
    require_trainable(method)
    files.refuse_existing(output, overwrite=overwrite)
    cells = _read_embeddings(embeddings, samples)
    options = {"seed": seed, "min_cells_per_class": min_cells_per_class}
    labels = _column(cells.obs, label, "--label")
    groups = _column(cells.obs, group, "--group") if group else None
    judged = evaluate(
        labels,
        cells.obs.index,
        methods=[method, "majority"],
        embeddings=cells.matrix,
        groups=groups,
        folds=folds,
        **options,
    )
    judged.summary.update({"label": label, "group": group})
    classifier = train(
        labels,
        cells.obs.index,
        cells.matrix,
        method=method,
        label=label,
        provenance=cells.provenances[0],
        evaluation=judged,
        **options,
    )
    save_classifier(classifier, output, overwrite=overwrite)
    return classifier


def annotate_apply(
    embeddings: Sequence[str | Path],
    output: str | Path,
    *,
    classifier: str | Path,
    samples: Sequence[str] | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Label the cells of stores and write a Parquet table, whole or not at all."""
    files.refuse_existing(output, overwrite=overwrite)
    loaded = load_classifier(classifier)
    cells = _read_embeddings(embeddings, samples)
    where = ", ".join(str(path) for path in embeddings)
    table = apply(
        loaded, cells.matrix, cells.obs.index, provenance=cells.provenances[0], where=where
    )
    write_table(table, output, about={"embedding": embedding_of(cells.provenances[0])})
    return table


def _read_embeddings(paths: Sequence[str | Path], samples: Sequence[str] | None) -> Cells:
    stores = [read_store(path) for path in paths]
    for path, store in zip(paths, stores, strict=True):
        if EMBEDDING not in store.obsm:
            raise InputError(
                "E_FILE_FORMAT", f"{path} holds no embeddings", fix="give an embeddings.zarr.zip"
            )
        _require_same_run(stores[0].uns["aidocell"], store.uns["aidocell"], where=str(path))
    matrix = np.concatenate([np.asarray(store.obsm[EMBEDDING]) for store in stores])
    return Cells(_joined_obs(stores, samples), matrix, [s.uns["aidocell"] for s in stores])


def _require_same_run(expected: Mapping[str, Any], found: Mapping[str, Any], *, where: str) -> None:
    """Embeddings of one study come from one checkpoint, gene list, pooling and precision."""
    for what, section, name in (
        ("checkpoint", "model", "sha256"),
        ("pooling", "options", "pooling"),
        ("precision", "options", "precision"),
    ):
        require_same(what, expected[section][name], found[section][name], where=where)
    require_same("gene list", expected["genes_sha256"], found["genes_sha256"], where=where)


def _read_counts(paths: Sequence[str | Path], samples: Sequence[str] | None) -> Cells:
    stores = [read_store(path) for path in paths]
    for path, store in zip(paths, stores, strict=True):
        if store.X is None:
            raise InputError(
                "E_FILE_FORMAT", f"{path} holds no counts", fix="give a counts.zarr.zip"
            )
        genes = [s.uns["aidocell"]["genes_sha256"] for s in (stores[0], store)]
        require_same("gene list", *genes, where=str(path))
    matrix = sparse.vstack([sparse.csr_matrix(store.X) for store in stores], format="csr")
    return Cells(_joined_obs(stores, samples), matrix, [s.uns["aidocell"] for s in stores])


def _joined_obs(stores: Sequence[ad.AnnData], samples: Sequence[str] | None) -> pd.DataFrame:
    if samples is None:
        return pd.concat([store.obs for store in stores])
    tables = []
    for store, sample in zip(stores, samples, strict=True):
        named = store.obs.set_axis([f"{sample}:{cell}" for cell in store.obs_names])
        tables.append(named.assign(sample=sample))
    return pd.concat(tables)


def _matched(counted: Cells, embedded: Cells) -> Cells:
    """The counts of the embedded cells, in their order; refuses counts of something else."""
    for made_from, found in zip(embedded.provenances, counted.provenances, strict=True):
        digests = (made_from["counts_digest"], found["counts_digest"])
        require_same("counts digest", *digests, where="the counts")
    rows = counted.obs.index.get_indexer(embedded.obs.index)
    if (rows < 0).any():
        raise InputError(
            "E_STORE_MISMATCH",
            f"the counts lack {(rows < 0).sum()} of the embedded cells "
            f"(first: {embedded.obs.index[rows < 0][0]})",
            fix="give the counts that the embeddings were made from",
        )
    return Cells(embedded.obs, counted.matrix[rows], counted.provenances)


def _column(obs: pd.DataFrame, name: str, option: str) -> pd.Series:
    if name not in obs:
        columns = ", ".join(map(str, obs.columns)) or "none"
        raise InputError(
            "E_LABEL_MISSING",
            f"the cells have no column '{name}' (columns: {columns})",
            fix=f"give one of those to {option}, or add it to the cells",
        )
    return obs[name]

"""Judging methods from stores to tables: what the command line and the workflow call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aidocell import files
from aidocell.baselines import METHODS
from aidocell.errors import InputError
from aidocell.evaluate.labels import clean_groups
from aidocell.evaluate.leaks import Side, require_no_leak
from aidocell.provenance import require_same
from aidocell.seal import read_seal
from aidocell.tasks.annotate import (
    Evaluation,
    evaluate_labelled,
    evaluate_split,
    require_methods,
    write_evaluation,
)
from aidocell.tasks.classifier import embedding_of
from aidocell.tasks.labelled import MAX_CELLS, Labelled, choose, require_other_group
from aidocell.tasks.stored import (
    StoredCells,
    Stores,
    require_alike,
    stored_counts,
    stored_embeddings,
)

__all__ = ["annotate_evaluate"]

# Columns that name donors where nobody said which one does.
_DONORS = re.compile("(donor|individual|subject|patient|ind)([ _.-]?(id|name|no))?", re.IGNORECASE)


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
    repeats: int = 1,
    leave_one_group_out: bool = False,
    test: Stores | None = None,
    valid: Stores | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    min_cells_per_class: int | None = None,
    max_cells: int | None = MAX_CELLS,
    overwrite: bool = False,
) -> Evaluation:
    """Judge methods on labelled stores, by folds or by other stores, and write the tables.

    Parameters
    ----------
    output
        Folder of the tables; with `overwrite` it is replaced as a whole.
    label, group
        Columns of the cells. With `samples`, ``sample`` is a column too.
    embeddings, counts, samples
        As of :class:`Stores`.
    methods
        Keys of :data:`aidocell.baselines.METHODS`; None means the quick ones that the stores allow.
    folds, repeats, leave_one_group_out, settings
        As of :func:`aidocell.tasks.annotate.evaluate`; the names of the genes are those of the
        counts.
    test, valid
        Judge by these cells instead of by folds, and stop early by those; all of their cells, with
        a label or without, are held against the others for leaks.
    max_cells
        Of more labelled cells that many are drawn, every class by its share, and only their rows
        are read; None takes all. All methods work on the same cells. It bounds each file.

    Raises
    ------
    InputError
        As :func:`aidocell.tasks.annotate.evaluate_split`, and ``E_STORE_MISMATCH``,
        ``E_STORE_DAMAGED``, ``E_OUTPUT_EXISTS``.
    """
    files.refuse_existing(output, overwrite=overwrite)
    require_other_group(label, group)
    given = _sources(Stores(embeddings, counts, samples), test, valid)
    settings = {"genes": _genes(given), **(settings or {})}
    methods = list(methods or _quick(given))
    require_methods(methods, **_have(given), settings=settings)
    _require_reference(methods, settings)
    notes = _require_apart(given, group)
    by_folds = {"folds": folds, "repeats": repeats, "leave_one_group_out": leave_one_group_out}
    choice = {"max_cells": max_cells, "seed": seed}
    labelled = given[0].labelled(
        label,
        group,
        folds=None if test or leave_one_group_out else folds,
        min_cells_per_class=min_cells_per_class,
        **choice,
    )
    labelled = replace(labelled, warnings=labelled.warnings + notes)
    shared = {"methods": methods, "seed": seed, "settings": settings}
    if test is None:
        result = evaluate_labelled(labelled, **by_folds, **shared)
    else:
        others = [one.labelled(label, group, least_classes=1, **choice) for one in given[1:]]
        result = evaluate_split(labelled, others[0], valid=others[1] if valid else None, **shared)
    embedded = given[0].embedded
    result.summary.update({"label": label, "group": group, **_made_with(methods, settings)})
    result.summary["embedding"] = embedding_of(embedded.provenances[0]) if embedded else None
    result.summary["embeddings"] = [read_seal(Path(path)) for path in embeddings]
    write_evaluation(result, output, overwrite=overwrite)
    return result


@dataclass(frozen=True)
class _Source:
    """The cells of one of the files."""

    what: str
    embedded: StoredCells | None
    counted: StoredCells | None

    @classmethod
    def of(cls, what: str, stores: Stores) -> _Source:
        samples = stores.samples
        embedded = stored_embeddings(stores.embeddings, samples) if stores.embeddings else None
        counted = stored_counts(stores.counts, samples) if stores.counts else None
        if embedded is None and counted is None:
            raise InputError("E_CONFIG", "there are no cells", fix="give embeddings or counts")
        return cls(what, embedded, counted)

    @property
    def cells(self) -> StoredCells:
        return self.embedded or self.counted

    def labelled(self, label: str, group: str | None, **conditions: Any) -> Labelled:
        """The cells that are chosen under these conditions, with their matrices."""
        chosen = choose(
            self.cells.column(label, "--label"),
            self.cells.names,
            groups=self.cells.column(group, "--group") if group else None,
            **conditions,
        )
        places = _matched(self.counted, self.embedded, chosen.rows) if self.counted else None
        return chosen.with_matrices(
            embeddings=self.embedded.vectors(chosen.rows) if self.embedded else None,
            counts=self.counted.counts(places) if self.counted else None,
        )

    def side(self, group: str | None, *, counts: bool) -> Side:
        cells = self.counted if counts else self.embedded
        groups = clean_groups(cells.column(group, "--group")) if group else None
        return Side(self.what, cells.names.to_numpy(), groups, cells.blocks)


def _sources(train: Stores, test: Stores | None, valid: Stores | None) -> list[_Source]:
    named = {"training file": train, "test file": test, "validation file": valid}
    return [_Source.of(what, stores) for what, stores in named.items() if stores is not None]


def _have(given: Sequence[_Source]) -> dict[str, bool]:
    """What there is of training and test cells; of validation cells methods take what there is."""
    return {
        "embeddings": all(one.embedded for one in given[:2]),
        "counts": all(one.counted for one in given[:2]),
    }


def _quick(given: Sequence[_Source]) -> list[str]:
    """Methods that run where none were named."""
    have = _have(given)
    available = {"embedding": have["embeddings"], "counts": have["counts"], "labels": True}
    return [name for name, m in METHODS.items() if m.quick and available[m.needs]]


def _genes(given: Sequence[_Source]) -> list[str] | None:
    """Symbols of the columns of counts; the files must have the same, and one checkpoint."""
    first = given[0]
    for one in given[1:]:
        if first.embedded and one.embedded:
            require_alike(first.embedded, one.embedded, embedded=True)
        if first.counted and one.counted:
            require_alike(first.counted, one.counted, embedded=False)
    return first.counted.genes if first.counted else None


def _require_reference(methods: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a model file that cannot be read before hours of other work."""
    if "reference" not in methods:
        return
    from aidocell.baselines.celltypist_model import read_model

    try:
        read_model(settings["reference"])
    except InputError as error:
        if error.id != "E_USAGE":  # without its package, the method's row says so
            raise


def _made_with(methods: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """How the checkpoint was fine-tuned and which reference labelled, where that was asked for."""
    made = {}
    if "finetune" in methods:
        made["finetune"] = asdict(settings["network"].options)
    if "reference" in methods:
        made["reference"] = Path(settings["reference"]).name
    return made


def _require_apart(given: Sequence[_Source], group: str | None) -> list[dict[str, str]]:
    """Refuse donors and cells in two of the files; warn of donors that nobody named."""
    if len(given) > 1:
        counts = all(one.counted for one in given)
        if not counts and not all(one.embedded for one in given):
            fix = "give files of counts, or embeddings of all of them"
            raise InputError("E_CONFIG", "the files have nothing in common to compare", fix=fix)
        # of all cells, chosen or not; what is only suspicious is said of the chosen ones
        require_no_leak([one.side(group, counts=counts) for one in given])
    return [] if group else _about_donors(given)


def _about_donors(given: Sequence[_Source]) -> list[dict[str, str]]:
    """Warn where a column looks like donors, and cells of one would be on both sides."""
    notes = []
    for column in filter(_DONORS.fullmatch, given[0].cells.columns):
        names = [
            set(clean_groups(one.cells.column(column, "--group"))) - {""}
            for one in given
            if column in one.cells.columns
        ]
        shared = sorted(names[0] if len(given) == 1 else names[0].intersection(*names[1:2]))
        if len(given) == 1 and len(shared) > 1:
            text = f"the column '{column}' names {len(shared)} donors, and folds do not keep them apart"
        elif len(names) > 1 and shared:
            text = (
                f"the column '{column}' has {len(shared)} of its names in both files ({shared[0]})"
            )
        else:
            continue
        text += ": the figures are of new cells of the same donors; --group holds donors out"
        notes.append({"id": "donors-not-held-out", "text": text})
    return notes


def _matched(counted: StoredCells, embedded: StoredCells | None, rows: np.ndarray) -> np.ndarray:
    """Where the counts of embedded cells are; refuses counts of something else."""
    if embedded is None:
        return rows
    for made_from, found in zip(embedded.provenances, counted.provenances, strict=True):
        if made_from["genes_sha256"] != found["genes_sha256"]:
            what = (
                "the embeddings are of a checkpoint with other genes than the counts were read for"
            )
            raise InputError(
                "E_STORE_MISMATCH", what, fix="name that checkpoint by --model as well"
            )
        digests = (made_from["counts_digest"], found["counts_digest"])
        require_same("counts digest", *digests, where="the file of counts")
    wanted = embedded.names[rows]
    places = counted.names.get_indexer(wanted)
    if (places < 0).any():
        raise InputError(
            "E_STORE_MISMATCH",
            f"the counts lack {(places < 0).sum()} of the embedded cells "
            f"(first: {wanted[places < 0][0]})",
            fix="give the counts that the embeddings were made from",
        )
    return places

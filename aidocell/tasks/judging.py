"""One method over all folds: what it predicts, or why it cannot."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from aidocell.baselines import METHODS, Method, Unavailable
from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.tasks.folds import Fold, Splits

__all__ = ["Judged", "fit_quietly", "judge", "probability_columns", "require_methods"]

log = logging.getLogger(__name__)

# What only the machine or the weights lack is said in the method's row.
_LACKING = ("E_MODEL_MISSING", "E_GPU_MEMORY")


@dataclass(frozen=True)
class Judged:
    """What came of one method.

    Attributes
    ----------
    method
        Its name.
    predictions
        ``cell, fold, method, true, predicted``, then one ``p_<class>`` a class, in the order of
        folds; within a repeat sorted by cell. None where it could not run.
    times
        Fold, and the seconds of its fit and prediction.
    unavailable
        Why it could not run; empty where it did.
    notes
        Warnings, ``{"id", "text"}`` each.
    remark
        What should be known of its figures, for its row.
    """

    method: str
    predictions: pd.DataFrame | None = field(repr=False)
    times: list[tuple[int, float, float]] = field(repr=False)
    unavailable: str = ""
    notes: list[dict[str, str]] = field(default_factory=list)
    remark: str = ""


def require_methods(
    methods: Sequence[str],
    *,
    embeddings: bool,
    counts: bool,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Refuse methods that do not exist or lack what they work on (``E_CONFIG``)."""
    wrong = [f"'{name}' is no method" for name in methods if name not in METHODS]
    wrong += [f"'{name}' is named twice" for name in methods if list(methods).count(name) > 1]
    if wrong or not methods:
        what = wrong[0] if wrong else "no method is named"
        raise InputError("E_CONFIG", what, fix=f"choose from: {', '.join(METHODS)}")
    have = {"embedding": embeddings, "counts": counts, "labels": embeddings or counts}
    for name in methods:
        what = _lacking(METHODS[name], have, settings or {})
        if what:
            raise InputError(
                "E_CONFIG",
                f"the method '{name}' needs {what}, which is not given",
                fix="give it, or leave the method out",
            )


def _lacking(method: Method, have: Mapping[str, bool], settings: Mapping[str, Any]) -> str:
    if not have[method.needs]:
        needs = {
            "embedding": "embeddings (--model or --embeddings)",
            "counts": "raw counts",
            "labels": "cells",
        }
        return needs[method.needs]
    if "network" in method.takes and settings.get("network") is None:
        return "a checkpoint (--model)"
    if "reference" in method.takes and settings.get("reference") is None:
        return "a CellTypist model (--reference)"
    if "genes" in method.takes and method.package and settings.get("genes") is None:
        return "the genes' names"
    return ""


def judge(
    name: str,
    splits: Splits,
    *,
    seed: int,
    settings: Mapping[str, Any],
    advance: Callable[[int], None] = lambda done: None,
) -> Judged:
    """Fit and test one method on every fold.

    Where it says that it cannot run, where its weights or the GPU's memory are lacking, or where
    somebody else's package fails, that is its row, the traceback goes to the log, and nothing
    else is held up. Errors of our own methods are raised.
    """
    tables, times, notes, remarks = [], [], [], []
    for fold in splits.folds:
        try:
            done = _judge_fold(name, fold, splits.classes, seed=seed, settings=settings)
        except Exception as error:
            reason = _reason(METHODS[name], error)
            if reason is None:
                raise
            log.warning("%s is unavailable: %s", name, reason, exc_info=error)
            advance(len(splits.folds) - len(tables))
            return Judged(name, None, times, reason)
        tables.append(done.predictions)
        times += done.times
        notes += done.notes
        remarks += [done.remark] if done.remark else []
        advance(1)
    sorted_tables = _by_repeat(tables, splits)
    remark = "; ".join(dict.fromkeys(remarks))
    return Judged(name, sorted_tables, times, "", notes, remark)


def _judge_fold(
    name: str, fold: Fold, classes: np.ndarray, *, seed: int, settings: Mapping[str, Any]
) -> Judged:
    method, began = METHODS[name], time.perf_counter()
    fitted, notes = fit_quietly(
        method,
        fold.train.features(method),
        fold.train.labels,
        seed=seed,
        what=f"{name}, fold {fold.number}",
        **_extras(method, fold, settings),
    )
    between = time.perf_counter()
    probabilities = np.zeros((len(fold.test.rows), len(classes)))
    # a class without training cells keeps probability 0
    columns = np.searchsorted(classes, fitted.classes_)
    probabilities[:, columns] = method.module.predict_proba(fitted, fold.test.features(method))
    ended = time.perf_counter()
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{name} gave probabilities that are no numbers")
    table = pd.DataFrame(
        {
            "cell": fold.test.cells,
            "fold": fold.number,
            "method": name,
            "true": fold.test.labels,
            "predicted": classes[probabilities.argmax(axis=1)],
        }
    )
    table = pd.concat([table, probability_columns(probabilities, classes)], axis=1)
    spent = [(fold.number, between - began, ended - between)]
    return Judged(name, table, spent, "", notes, _remark(fold, fitted, notes))


def _extras(method: Method, fold: Fold, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly the keywords that the method takes."""
    kept = fold.validation
    of_fold = {
        "groups": fold.train.groups,
        "validation": None if kept is None else (kept.features(method), kept.labels),
    }
    given = {**settings, **of_fold}
    return {name: given.get(name) for name in method.takes}


def fit_quietly(
    method: Method, X: Any, y: np.ndarray, *, seed: int, what: str, **extras: Any
) -> tuple[Any, list[dict[str, str]]]:
    """Fit a method; a solver that stops short of its optimum becomes a warning of the result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = method.module.fit(X, y, seed=seed, **extras)
    notes = []
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            first_line = str(warning.message).splitlines()[0]
            notes.append({"id": "not-converged", "text": f"{what}: {first_line}"})
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return fitted, notes


def probability_columns(probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One column ``p_<class>`` a class."""
    return pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])


def _reason(method: Method, error: Exception) -> str | None:
    """The first line of why a method cannot run; None where that is an error of ours."""
    what = error.what if isinstance(error, AidocellError) else str(error)
    text = next(iter(what.strip().splitlines()), "") or "it does not say why"
    if isinstance(error, Unavailable) or getattr(error, "id", None) in _LACKING:
        return text
    if method.package is None or isinstance(error, MachineError):
        return None
    return (
        text
        if isinstance(error, InputError)
        else f"{method.package}: {type(error).__name__}: {text}"
    )


def _remark(fold: Fold, fitted: Any, notes: list[dict[str, str]]) -> str:
    unknown = np.setdiff1d(fold.train.labels, fitted.classes_)
    parts = ["stopped before it converged"] if notes else []
    if len(unknown):
        parts.append(f"cannot call {', '.join(repr(str(n)) for n in unknown[:5])}")
    return "; ".join(parts)


def _by_repeat(tables: list[pd.DataFrame], splits: Splits) -> pd.DataFrame:
    """All predictions, repeat after repeat, each sorted by cell."""
    step = splits.about["folds"]
    repeats = [tables[start : start + step] for start in range(0, len(tables), step)]
    whole = [pd.concat(one).sort_values("cell", kind="stable") for one in repeats]
    return pd.concat(whole, ignore_index=True)

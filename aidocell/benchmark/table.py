"""One table a data set: published, regenerated and unavailable side by side, never mixed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aidocell.benchmark.outcomes import Outcome
from aidocell.benchmark.published import WITHOUT_WEIGHTS, Published, published
from aidocell.model.hub import is_hub_id

__all__ = ["COLUMNS", "MAIN_METRIC", "RECIPE", "benchmark_table", "plain"]

COLUMNS = [
    "method",
    "metric",
    "published",
    "source",
    "regenerated",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "status",
    "reason",
    "seeds",
    "run_seconds",
    "device",
    "gpu_hours",
    "cost",
    "spread",
    "model",
    "published_as",
    "note",
]
_NUMBERS = [
    "published",
    "regenerated",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "run_seconds",
    "gpu_hours",
    "cost",
    "spread",
]
RECIPE = "the framework's example recipe, which is not known to be the published table's"
MAIN_METRIC = {"classification": "macro_f1", "clustering": "ari"}


def benchmark_table(
    outcomes: Sequence[Outcome],
    *,
    task: str,
    dataset: str | None,
    price: float | None = None,
    example_recipe: bool = True,
) -> pd.DataFrame:
    """All rows of a data set: first those with a published figure, in its table's order.

    Parameters
    ----------
    outcomes
        Of every planned run.
    task
        ``classification`` or ``clustering``.
    dataset
        As the published table calls it; None where nothing is published.
    price
        Of an hour of a GPU.
    example_recipe
        Whether networks were fine-tuned by the framework's example recipe, unaltered.

    Returns
    -------
    table
        :data:`COLUMNS`. ``difference`` is published minus regenerated, and its interval that of the
        regenerated figure alone: what the published one would do on other cells is not known.
        ``low`` and ``high`` are a 95 % bootstrap interval over cells, ``spread`` the standard
        deviation between seeds. ``status`` is ``regenerated``, ``unavailable`` or ``published only``.
    """
    figures = [f for f in published() if f.task == task and f.dataset == dataset]
    rows: list[dict[str, Any]] = []
    taken: set[str] = set()
    for name in dict.fromkeys(figure.name for figure in figures):
        of_name = {f.metric: f for f in figures if f.name == name}
        outcome = _regenerating(next(iter(of_name.values())), outcomes)
        if outcome is None:
            rows += [_published_only(figure, outcomes) for figure in of_name.values()]
            continue
        taken.add(outcome.run.name)
        rows += _rows(outcome, of_name, task, price, example_recipe)
    for outcome in outcomes:
        if outcome.run.name not in taken:
            rows += _rows(outcome, {}, task, price, example_recipe)
    table = pd.DataFrame(rows, columns=COLUMNS)
    texts = {name: table[name].fillna("") for name in COLUMNS if name not in _NUMBERS}
    return table.assign(**texts).astype(dict.fromkeys(_NUMBERS, float))


def _regenerating(figure: Published, outcomes: Sequence[Outcome]) -> Outcome | None:
    """The run that does what was published, with the same checkpoint; others are rows of their own."""
    return next(
        (
            outcome
            for outcome in outcomes
            if (outcome.run.method, outcome.run.model or "") == (figure.method, figure.model)
        ),
        None,
    )


def _published_only(figure: Published, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    if figure.name in WITHOUT_WEIGHTS:
        reason = WITHOUT_WEIGHTS[figure.name]
    elif figure.model and any(outcome.run.method == figure.method for outcome in outcomes):
        reason = f"{figure.model} is not among the models of config/benchmark.yaml"
    else:
        reason = "config/benchmark.yaml leaves it out"
    return {
        **_of_published(figure),
        "method": figure.name,
        "metric": figure.metric,
        "status": "published only",
        "reason": reason,
        "model": figure.model,
    }


def _of_published(figure: Published | None) -> dict[str, Any]:
    if figure is None:
        return {"published": None, "source": "", "published_as": ""}
    return {"published": figure.value, "source": figure.source, "published_as": figure.name}


def _rows(
    outcome: Outcome,
    figures: Mapping[str, Published],
    task: str,
    price: float | None,
    example_recipe: bool,
) -> Iterator[dict[str, Any]]:
    """A row for each metric; of what did not run, for each published one or the main one."""
    shared = {
        "method": outcome.run.name,
        "status": "regenerated" if outcome.ran else "unavailable",
        "reason": outcome.reason,
        "seeds": ", ".join(str(record["seed"]) for record in outcome.ran),
        "run_seconds": outcome.seconds,
        "device": outcome.device,
        "gpu_hours": outcome.gpu_hours,
        "cost": None if price is None or outcome.gpu_hours is None else price * outcome.gpu_hours,
        "model": _named(outcome.run.model),
        "note": _note(outcome, example_recipe),
    }
    if not outcome.ran:
        for metric in figures or [MAIN_METRIC[task]]:
            yield {**shared, "metric": metric, **_of_published(figures.get(metric))}
        return
    for figure in outcome.figures.to_dict("records"):
        known = figures.get(figure["metric"])
        yield {
            **shared,
            "metric": figure["metric"],
            "regenerated": figure["value"],
            **{name: figure[name] for name in ("low", "high", "spread")},
            **_of_published(known),
            **_difference(known, figure),
        }


def _named(model: str | None) -> str | None:
    """A checkpoint as others know it: its hub id, or the name of its folder without the path."""
    return model if model is None or is_hub_id(model) else Path(model).name


def _difference(known: Published | None, figure: Mapping[str, float]) -> dict[str, float]:
    if known is None:
        return {}
    return {
        "difference": known.value - figure["value"],
        "difference_low": known.value - figure["high"],
        "difference_high": known.value - figure["low"],
    }


def _note(outcome: Outcome, example_recipe: bool) -> str:
    notes = []
    if outcome.run.method == "finetune":
        notes.append(RECIPE if example_recipe else f"not by {RECIPE}, but by an altered one")
    return "; ".join([*notes, *outcome.notes])


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows in plain values, None where there is nothing: for JSON and the page."""
    return [
        {name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value

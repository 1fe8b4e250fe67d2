"""What a reader of a table has to know: the cells, the genes, the leaks, and who loses to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aidocell.baselines import METHODS
from aidocell.benchmark.outcomes import Outcome
from aidocell.evaluate.metrics import compare

__all__ = ["about_figures", "about_files", "verdict"]

_FEW = 10  # test cells of a class below which one cell moves macro-F1 visibly


def about_files(data: Mapping[str, Any]) -> list[str]:
    """Where the files came from, their cells and classes, and how many genes have a place."""
    notes = []
    for part, about in data["parts"].items():
        commit = f", commit {about['revision']}" if about["revision"] else ""
        check = "as announced" if about["announced"] else "nothing to hold it against"
        notes.append(
            f"{part}: {about['source']}{commit}, sha256 {about['sha256'][:12]}… ({check}); "
            f"{about['cells']:,} cells, {about['labelled']:,} with a label, of "
            f"{len(about['classes'])} classes; {about['genes_measured']:,} of the model's "
            f"{about['vocabulary']:,} genes measured, {about['counts_resolved']:.1%} of the counts "
            "on genes that have a place there"
        )
    return notes + _about_few(data) + _about_leaks(data)


def _about_few(data: Mapping[str, Any]) -> list[str]:
    classes = data["parts"].get("test", {}).get("classes", {})
    few = [f"'{name}' {cells}" for name, cells in classes.items() if cells < _FEW]
    if not few:
        return []
    text = f"classes with fewer than {_FEW} test cells: {', '.join(few)}"
    return [f"{text}; one cell called right or wrong there moves macro-F1"]


def _about_leaks(data: Mapping[str, Any]) -> list[str]:
    cells = data["leaks"]["cells"] if data["parts"] and "leaks" in data else 0
    if not cells:
        return list(data.get("warnings", []))
    text = f"{cells} cells stand in two of the published files with the same counts; the split is published, so they stay"
    return [text, *data["warnings"]]


def about_figures(task: str, seeds: Sequence[int]) -> list[str]:
    """How the regenerated figures were made."""
    several = f"figures are means over the seeds {', '.join(map(str, seeds))}, the spread is the standard deviation between them"
    if len(seeds) == 1:
        several = f"one run each, seed {seeds[0]}: nothing is known of the spread between seeds"
    notes = [
        f"{several}; intervals are 95 %, by bootstrap over cells, of which the methods see the same draws",
        "a difference is published minus regenerated; its interval is that of the regenerated figure alone",
    ]
    if task == "classification":
        notes.append(
            "all methods work on the genes of the model that a file measured; the framework's own "
            "data path maps symbols otherwise, and the other packages took all genes: a figure may "
            "differ for that reason alone"
        )
        return notes
    notes.append(
        "the resolution of Leiden is chosen so that there are as many clusters as labels; "
        "the silhouette is of the labels, in each method's own components, and has no interval"
    )
    return notes


def verdict(outcomes: Sequence[Outcome], *, metric: str, seed: int, draws: int) -> str | None:
    """Whether the best use of the checkpoint beats the best method without one, in a sentence."""
    best = {
        used: max(
            (o for o in outcomes if o.ran and (o.run.model is not None) == used and _counts(o)),
            key=lambda o: o.value(metric),
            default=None,
        )
        for used in (True, False)
    }
    if best[True] is None or best[False] is None:
        return None
    ours, simple = best[True], best[False]
    difference = ours.value(metric) - simple.value(metric)
    word = "beats" if difference > 0 else "loses to" if difference < 0 else "equals"
    text = (
        f"the best use of a checkpoint, {ours.run.name} ({ours.value(metric):.3f}), {word} the best "
        f"method without one, {simple.run.name} ({simple.value(metric):.3f})"
    )
    return text + _paired(ours, simple, metric, seed, draws)


def _counts(outcome: Outcome) -> bool:
    """Methods that learn something; the most frequent class is no rival."""
    return outcome.run.method not in METHODS or METHODS[outcome.run.method].needs != "labels"


def _paired(ours: Outcome, simple: Outcome, metric: str, seed: int, draws: int) -> str:
    """The interval of the difference, where both called the same cells as often."""
    first, second = ours.calls, simple.calls
    if metric != "macro_f1" or first.found.shape != second.found.shape:
        return ""
    if not np.array_equal(first.cells, second.cells):
        return ""
    table = compare(first.true, first.found, second.found, seed=seed, draws=draws)
    row = table[table["metric"] == metric].iloc[0]
    return (
        f"; the difference over the same cells, all seeds together, is {row.difference:+.3f} "
        f"(95 % interval {row.low:+.3f} to {row.high:+.3f})"
        f"{', so that other cells may turn it round' if row.low <= 0 <= row.high else ''}"
    )

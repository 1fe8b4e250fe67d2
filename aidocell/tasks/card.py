"""The README of a classifier, in the style of a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.baselines import METHODS
from aidocell.errors import printable

__all__ = ["markdown_text", "write_card"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:@])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown_text(text: object) -> str:
    """Text that Markdown shows as it is: no markup, link, HTML or table cell of its own."""
    return _SPECIAL.sub(r"\\\1", printable(text).translate(_ENTITIES))


def write_card(content: Mapping[str, Any], path: Path) -> None:
    """Write a README from what ``classifier.json`` says; numbers here are rounded for reading."""
    parts = [_head(content), _use(content), _data(content), _metrics(content), _limits(content)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(content: Mapping[str, Any]) -> str:
    title = METHODS[content["method"]].title
    label = markdown_text(content["training"]["label"])
    demonstration = content["embedding"]["model"].get("demonstration")
    lines = [
        f"# Classifier for {label}",
        f"{title.capitalize()}, {len(content['classes'])} classes.",
    ]
    if demonstration:
        lines.append("**Trained on embeddings of a demonstration model: not for real work.**")
    return "\n\n".join(lines)


def _use(content: Mapping[str, Any]) -> str:
    embedding = content["embedding"]
    return f"""## Intended use

It labels cells whose embeddings come from the same checkpoint, gene list and pooling; others are
refused. For research, not for diagnosis.

    aidocell annotate apply QUERY --classifier THIS_FOLDER --output OUT.parquet

| | |
|---|---|
| checkpoint | {markdown_text(embedding["model"]["id"])} |
| checkpoint sha256 | {markdown_text(embedding["model"]["sha256"])} |
| gene list sha256 | {markdown_text(embedding["genes_sha256"])} |
| pooling | {markdown_text(embedding["options"]["pooling"])} |"""


def _data(content: Mapping[str, Any]) -> str:
    training = content["training"]
    pairs = zip(content["classes"], content["support"], strict=True)
    rows = "\n".join(f"| {markdown_text(name)} | {cells:,} |" for name, cells in pairs)
    return f"""## Training data

{training["cells"]:,} cells, labelled by the column {markdown_text(training["label"])};
sha256 {training["sha256"]} over names, labels and embeddings. Seed {training["seed"]}.

| class | cells |
|---|---:|
{rows}"""


def _metrics(content: Mapping[str, Any]) -> str:
    if not content["metrics"]:
        return "## Metrics\n\nIt was not judged when it was trained."
    rows = "\n".join(
        f"| {markdown_text(row['method'])} | {markdown_text(row['metric'])} "
        f"| {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} |"
        for row in content["metrics"]
    )
    training = content["training"]
    kept = markdown_text(training.get("group") or "")
    held_out = f"; cells of one {kept} were never on both sides" if kept else ""
    return f"""## Metrics

Cross-validation on the training data, {training.get("folds")} folds{held_out}; out-of-fold
predictions pooled, 95 % bootstrap intervals over cells. The classifier in this folder was then
trained on all cells.

| method | metric | value | 95 % interval |
|---|---|---:|---|
{rows}"""


def _limits(content: Mapping[str, Any]) -> str:
    rare = [
        f"{markdown_text(name)} ({cells})"
        for name, cells in zip(content["classes"], content["support"], strict=True)
        if cells < 30
    ]
    few = f" Classes with fewer than 30 cells: {', '.join(rare)}." if rare else ""
    return f"""## Limits

- Every cell gets one of the classes above, also a cell of a type that is not among them.
- Probabilities are those of the method and have not been calibrated.
- Donors, tissues, chemistries and conditions that were not in the training data are not covered
  by the figures above.
- The figures of small classes are uncertain.{few}"""

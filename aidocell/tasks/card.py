"""The README of a classifier, in the style of a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.baselines import METHODS
from aidocell.errors import printable
from aidocell.tasks.similarity import FAR_SHARE, PERCENTILE

__all__ = ["markdown_text", "write_card"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:@])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown_text(text: object) -> str:
    """Text that Markdown shows as it is: no markup, link, HTML or table cell of its own."""
    return _SPECIAL.sub(r"\\\1", printable(text).translate(_ENTITIES))


def write_card(content: Mapping[str, Any], path: Path) -> None:
    """Write a README from what ``classifier.json`` says; numbers here are rounded for reading."""
    sections = (_head, _use, _data, _metrics, _sureness, _similarity, _limits)
    parts = [section(content) for section in sections]
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
    terms = content["ontology"]
    rows = "\n".join(
        f"| {markdown_text(name)} | {cells:,} | {markdown_text(terms.get(name, ''))} |"
        for name, cells in pairs
    )
    return f"""## Training data

{training["cells"]:,} cells, labelled by the column {markdown_text(training["label"])};
sha256 {training["sha256"]} over names, labels and embeddings. Seed {training["seed"]}.

| class | cells | Cell Ontology |
|---|---:|---|
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


def _sureness(content: Mapping[str, Any]) -> str:
    """How probabilities were calibrated, and when a cell is unknown."""
    calibration, unknown = content["calibration"], content["unknown"]
    if calibration is None:
        return (
            "## Probabilities\n\nThey are those of the method and have not been calibrated. "
            "No cell is called unknown."
        )
    after = calibration["ece_after"]
    text = f"""## Probabilities

Calibrated by a temperature of {calibration["temperature"]:.3f}, chosen on cells that were held out:
the mean gap between how sure it is and how often it is right (expected calibration error, 15 bins)
was {calibration["ece_before"]:.3f} before"""
    text += f" and is {after:.3f} after." if after is not None else "."
    if unknown is None:
        return f"{text} No cell is called unknown: two classes are too few to hold one out."
    rules = [f"whose largest probability is below **{unknown['threshold']:.4f}**"]
    if unknown["far_is_unknown"]:
        rules = (rules if unknown["threshold"] else []) + ["that lies beyond distance 1"]
    return f"""{text}

A cell {" or ".join(rules)} is called unknown. To choose
that, each class in turn was left out of the training, and its cells were the unknown ones. At this
threshold {unknown["flagged"]:.1%} of such cells are flagged; the price is that
{1 - unknown["coverage"]:.1%} of the known cells are flagged as well (asked: at most
{1 - unknown["known_coverage"]:.1%}). Of the known cells that keep their label {unknown["accuracy"]:.1%}
are called right. `unknown.tsv` has other thresholds, for `--unknown-threshold`, which looks at
probabilities alone.

| class | its cells that keep a label | left out: flagged | left out: distance beyond 1 |
|---|---:|---:|---:|
{_by_class(unknown["classes"])}"""


def _by_class(rows: list[dict[str, Any]]) -> str:
    def shown(share: float | None) -> str:
        return "" if share is None else f"{share:.1%}"

    return "\n".join(
        f"| {markdown_text(row['class'])} | {shown(row['coverage'])} | {shown(row['flagged'])} "
        f"| {shown(row['far'])} |"
        for row in rows
    )


def _similarity(content: Mapping[str, Any]) -> str:
    similarity = content["similarity"]
    if similarity is None:
        return "## Similarity\n\nDistances from the training cells are not known."
    return f"""## Similarity

`distance` is that of a cell from its nearest class (Mahalanobis, one shrunk covariance within classes),
in units that {PERCENTILE} % of {similarity["cells"]:,} cells stayed within while they were held out; their
median was {similarity["median"]:.2f}. Of a query with more than {FAR_SHARE:.0%} of its cells beyond 1,
`annotate apply` warns: labels and probabilities of such cells say little."""


def _limits(content: Mapping[str, Any]) -> str:
    rare = [
        f"{markdown_text(name)} ({cells})"
        for name, cells in zip(content["classes"], content["support"], strict=True)
        if cells < 30
    ]
    few = f" Classes with fewer than 30 cells: {', '.join(rare)}." if rare else ""
    if content["unknown"] is None:
        strangers = (
            "Every cell gets one of the classes above, also a cell of a type not among them."
        )
    else:
        missed = 1 - content["unknown"]["flagged"]
        strangers = (
            f"Of cells of a type that is not above, expect {missed:.0%} to be called one of the "
            "classes all the same; a type that resembles one of them, more."
        )
    return f"""## Limits

- {strangers}
- Donors, tissues, chemistries and conditions that were not in the training data are not covered
  by the figures above.
- The figures of small classes are uncertain.{few}"""

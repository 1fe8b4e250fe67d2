"""The README of a fine-tuned network, in the style of a model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aidocell.tasks.card import markdown_text
from aidocell.tasks.similarity import PERCENTILE

__all__ = ["write_card"]

_MODES = {
    "full": "all of the backbone was trained",
    "last": "the last layers and the layer norm after them were trained",
    "lora": "low-rank additions to queries, keys and values were trained, and added to the weights",
    "frozen": "the backbone is as it was, and the head alone was trained",
}


def write_card(content: Mapping[str, Any], path: Path) -> None:
    """Write a README from what ``classifier.json`` says; numbers here are rounded for reading."""
    sections = (_head, _use, _data, _training, _unknown, _limits)
    parts = [section(content) for section in sections]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(content: Mapping[str, Any]) -> str:
    base, classes = content["base"], len(content["classes"])
    lines = [
        f"# Fine-tuned for {markdown_text(content['training']['label'])}",
        f"{markdown_text(base['id'])} with a head for {classes} classes: "
        f"{_MODES[content['options']['mode']]}.",
    ]
    if base["demonstration"]:
        lines.append("**It began with a demonstration model: not for real work.**")
    return "\n\n".join(lines)


def _use(content: Mapping[str, Any]) -> str:
    base, options = content["base"], content["options"]
    return f"""## Intended use

It labels cells by their raw counts; no other checkpoint is needed. For research, not for diagnosis.

    aidocell annotate apply QUERY --classifier THIS_FOLDER --output OUT.parquet

The folder is a checkpoint as well (`--model THIS_FOLDER`). Its masked-expression head, if it has
one, is that of the base and no longer fits.

| | |
|---|---|
| base checkpoint | {markdown_text(base["id"])} |
| base sha256 | {markdown_text(base["sha256"])} |
| gene list sha256 | {markdown_text(content["genes_sha256"])} |
| pooling, head | {markdown_text(options["pooling"])}, {markdown_text(options["head"])} |"""


def _data(content: Mapping[str, Any]) -> str:
    training, validation = content["training"], content["validation"]
    sizes = zip(content["classes"], content["support"], validation["support"], strict=True)
    rows = "\n".join(f"| {markdown_text(name)} | {a:,} | {b:,} |" for name, a, b in sizes)
    return f"""## Training data

{training["cells"]:,} cells, labelled by the column {markdown_text(training["label"])}, and
{validation["cells"]:,} that judged epochs ({markdown_text(validation["set_apart"])}); sha256
{training["sha256"]} over counts, labels and groups. Seed {training["seed"]}.

| class | cells | cells that judged epochs |
|---|---:|---:|
{rows}"""


def _training(content: Mapping[str, Any]) -> str:
    validation, calibration = content["validation"], content["calibration"]
    options = "\n".join(
        f"| {name} | {markdown_text(value)} |" for name, value in content["options"].items()
    )
    if validation["macro_f1"] is None:
        judged = "No cells were set apart: the last epoch's weights are kept and were not judged."
    else:
        judged = (
            f"The weights are those after epoch {validation['epoch']}, the best by macro-F1 on the "
            f"cells set apart ({validation['macro_f1']:.3f}). These cells chose the epoch, so that "
            "figure flatters: judge the method by `aidocell annotate evaluate`."
        )
    if calibration is None:
        sure = "Probabilities are not calibrated."
    else:
        sure = (
            f"Probabilities are calibrated by a temperature of {calibration['temperature']:.3f}, "
            "chosen on the same cells."
        )
    return f"""## Training

{judged} {sure} `history.tsv` has every epoch.

| option | |
|---|---|
{options}"""


def _unknown(content: Mapping[str, Any]) -> str:
    similarity = content["similarity"]
    if similarity is None:
        return (
            "## Unknown cells\n\nNo cells were set apart: distances from the training cells are not "
            "known, and no cell is called unknown."
        )
    return f"""## Unknown cells

`distance` is that of a cell from its nearest class in the network's own embeddings (Mahalanobis, one
shrunk covariance within classes), in units that {PERCENTILE} % of the {similarity["cells"]:,} cells set
apart stayed within; their median was {similarity["median"]:.2f}. A cell beyond 1 is called unknown.
How well that finds types that are not above was not tried: it would take a training without each
class in turn."""


def _limits(content: Mapping[str, Any]) -> str:
    rare = [
        f"{markdown_text(name)} ({cells})"
        for name, cells in zip(content["classes"], content["support"], strict=True)
        if cells < 30
    ]
    few = f"\n- Classes with fewer than 30 cells: {', '.join(rare)}." if rare else ""
    return f"""## Limits

- A cell of a type that is not above may lie as near as those that are, and gets one of their names.
- Donors, tissues, chemistries and conditions that were not in the training data are not covered
  by the figure above.{few}"""

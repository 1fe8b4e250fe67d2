"""The learning curves of a fine-tuning."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from aidocell.report import numbers
from aidocell.report.colours import GREY, KEPT
from aidocell.report.figures.svg import Figure, Scale, canvas, element, line, text, ticks
from aidocell.report.finetuning import Tuning

__all__ = ["learning_curves"]

_WIDTH, _HEIGHT, _TOP, _MARGIN = 1040, 250, 34, 56
_HALF = _WIDTH / 2


def learning_curves(tuning: Tuning) -> Figure:
    """Loss and validation macro-F1 after each epoch; the epoch that was kept is marked."""
    history, validation = tuning.history, tuning.content["validation"]
    losses = {
        "training": (history["train_loss"], KEPT, None),
        "cells set apart": (history["validation_loss"], GREY, "5 4"),
    }
    scores = {"cells set apart": (history["validation_macro_f1"], KEPT, None)}
    epochs = history["epoch"]
    judged = history["validation_macro_f1"].notna().any()
    parts = _panel("loss", losses, epochs, tuning.best_epoch, left=0)
    if judged:
        parts += _panel("macro-F1", scores, epochs, tuning.best_epoch, left=_HALF, most=1.0)
    last = numbers.estimate(float(history["train_loss"].iloc[-1]))
    alt = f"Training loss over {numbers.plural(len(epochs), 'epoch')}, {last} at the end."
    if judged:
        alt += f" Macro-F1 of the epoch kept: {numbers.estimate(validation['macro_f1'])}."
    return Figure(
        "How the fine-tuning went",
        canvas(_WIDTH, _HEIGHT, alt, *parts),
        f"{numbers.plural(tuning.content['training']['cells'], 'cell')} learned from, "
        f"{numbers.count(validation['cells'])} set apart",
        "Good: both losses fall and level out. Where the loss of the cells set apart rises while "
        "that of training falls, the network learns these cells by heart: fewer epochs, a lower "
        "rate, or mode lora or frozen. The dotted line is the epoch that was kept; since the "
        "cells set apart chose it, their macro-F1 flatters, and the figures above judge better.",
    )


def _panel(
    label: str,
    curves: dict[str, tuple[pd.Series, str, str | None]],
    epochs: pd.Series,
    best: int,
    *,
    left: float,
    most: float | None = None,
) -> list[Markup]:
    """One pair of axes with its curves, from `left` over half the width."""
    known = {n: c for n, c in curves.items() if c[0].notna().any()}
    high = most or max(float(values.max()) for values, _, _ in known.values()) * 1.05 or 1.0
    x = Scale(1, max(len(epochs), 2), left + _MARGIN, left + _HALF - 20)
    y = Scale(0, high, _HEIGHT - 44, _TOP)
    parts = [line(x.start, y(v), x.stop, y(v), class_="grid") for v in ticks(0, high, most=5)]
    parts += [
        text(x.start - 8, y(v) + 4, f"{v:.3g}", text_anchor="end") for v in ticks(0, high, most=5)
    ]
    parts.append(line(x(best), y.start, x(best), y.stop, stroke=GREY, stroke_dasharray="2 3"))
    parts.append(line(x.start, y.start, x.stop, y.start, class_="axis"))
    parts += [
        text(x(v), y.start + 17, f"{v:g}", text_anchor="middle")
        for v in ticks(1, max(len(epochs), 2), most=8)
        if v == int(v)
    ]
    middle = (x.start + x.stop) / 2
    parts.append(text(middle, _HEIGHT - 8, "epochs done", text_anchor="middle", class_="label"))
    parts.append(text(x.start, 14, label, class_="label"))
    for place, (name, (values, colour, dashes)) in enumerate(known.items()):
        parts += _curve(name, values, epochs, x, y, colour, dashes)
        parts += _legend(name, x.stop - 150, 10 + 15 * place, colour, dashes)
    return parts


def _curve(
    name: str,
    values: pd.Series,
    epochs: pd.Series,
    x: Scale,
    y: Scale,
    colour: str,
    dashes: str | None,
) -> list[Markup]:
    points = [
        (x(epoch), y(value), epoch, value)
        for epoch, value in zip(epochs, values, strict=True)
        if math.isfinite(value)
    ]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _, _ in points)
    style = {"fill": "none", "stroke": colour, "stroke_width": 2, "stroke_dasharray": dashes}
    drawn = [element("polyline", points=path, **style)]
    for px, py, epoch, value in points:
        tip = element("title", f"{name}, epoch {epoch:g}: {value:.4g}")
        drawn.append(element("circle", tip, cx=px, cy=py, r=3, fill=colour))
    return drawn


def _legend(name: str, x: float, y: float, colour: str, dashes: str | None) -> list[Markup]:
    stroke = {"stroke": colour, "stroke_width": 2, "stroke_dasharray": dashes}
    return [line(x, y, x + 26, y, **stroke), text(x + 32, y + 4, name)]

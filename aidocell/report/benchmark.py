"""The page of ``snakemake benchmark``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aidocell.benchmark.table import MAIN_METRIC
from aidocell.provenance import VERSION
from aidocell.report.figures.published import beside_published
from aidocell.report.templating import csp_hash, environment, static

__all__ = ["render_benchmark"]


def render_benchmark(contents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    """All data sets on one self-contained page; every text is escaped.

    Parameters
    ----------
    contents
        Of each data set: ``name, task, published_as, status, reason, verdict, notes, rows``.
    config
        The benchmark's configuration.
    """
    style = static("report.css")
    return (
        environment()
        .get_template("benchmark.html")
        .render(
            contents=contents,
            figures={
                c["name"]: beside_published(c["rows"], MAIN_METRIC[c["task"]]) for c in contents
            },
            price=config["price_per_gpu_hour"],
            currency=config["currency"],
            version=VERSION,
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=csp_hash(style),
        )
    )

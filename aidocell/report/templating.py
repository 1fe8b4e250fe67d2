"""What all pages share: templates that escape every text, and the parts of their security policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from aidocell.report import numbers
from aidocell.report.figures.bars import mini_bar, mini_interval, swatch

__all__ = ["csp_hash", "environment", "static"]


@cache
def environment() -> Environment:
    """The templates, with the functions that write numbers."""
    environment = Environment(
        loader=PackageLoader("aidocell.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "mini_bar": mini_bar,
        "mini_interval": mini_interval,
        "swatch": swatch,
        "count": numbers.count,
        "share": numbers.share,
        "estimate": numbers.estimate,
        "interval": numbers.interval,
        "duration": numbers.duration,
        "plural": numbers.plural,
        "missing": numbers.missing,
    }
    return environment


@cache
def static(name: str) -> str:
    """The text of a file that is put into the page."""
    return (files("aidocell.report") / "static" / name).read_text(encoding="utf-8")


def csp_hash(text: str) -> str:
    """How the page's security policy names the one style and the one script that it allows."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"

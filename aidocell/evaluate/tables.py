"""Tables for other programs: full precision, and safe to open in a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aidocell.errors import printable

__all__ = ["tsv_text", "write_tsv"]


def tsv_text(text: str) -> str:
    """Text for one field: control characters escaped, and never a spreadsheet's formula.

    A field that begins with ``=``, ``+``, ``-`` or ``@`` gets an apostrophe in front.
    """
    text = printable(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write_tsv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; numbers round-trip exactly, a missing one is an empty field."""
    text = table.select_dtypes(exclude="number").columns
    table.assign(**{name: table[name].map(tsv_text) for name in text}).to_csv(
        path, sep="\t", index=False, lineterminator="\n"
    )

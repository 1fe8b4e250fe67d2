"""Columns of text side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence

from aidocell.errors import printable

__all__ = ["table_lines"]


def table_lines(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """One line a row, with every control character escaped.

    Parameters
    ----------
    right
        Places of the columns that are flush right, as numbers are.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]

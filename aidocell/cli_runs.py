"""Commands that look after a run of the workflow: before, during and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_run_commands"]

Results = Annotated[Path, typer.Argument(help="The study's results folder.")]


def add_run_commands(app: typer.Typer) -> None:
    """Give the ``aidocell`` command those of this module."""
    app.command(epilog="Example: aidocell recover results")(recover)


def recover(
    results: Results = Path("results"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a run that lives.")] = False,
) -> None:
    """After a killed run: clear Snakemake's lock if its owner is dead."""
    from aidocell.recover import recover as recover_folder

    recover_folder(results.resolve().parent, wait=wait)

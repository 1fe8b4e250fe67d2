"""Commands that look after a run of the workflow: before, during and after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aidocell.cli_options import Json

__all__ = ["add_run_commands"]

Results = Annotated[Path, typer.Argument(help="The study's results folder.")]


def add_run_commands(app: typer.Typer) -> None:
    """Give the ``aidocell`` command those of this module."""
    app.command(epilog="Example: aidocell plan results --config config/config.yaml")(plan)
    app.command(epilog="Example: aidocell recover results")(recover)
    app.command(epilog="Example: aidocell status results")(status)


def plan(
    results: Results = Path("results"),
    config: Annotated[Path, typer.Option(help="The study's configuration.")] = Path(
        "config/config.yaml"
    ),
    measure: Annotated[
        bool, typer.Option("--measure", help="Only measure how fast this machine embeds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What a run will take: shards, hours, disk, memory; and what its finished part took."""
    if measure:
        _measure(config, as_json=as_json)
        return
    from aidocell.forecast import forecast
    from aidocell.forecasttext import forecast_lines

    found = forecast(results, config)
    lines = [json.dumps(found.plain(), indent=2)] if as_json else forecast_lines(found)
    typer.echo("\n".join(lines))


def _measure(config: Path, *, as_json: bool) -> None:
    from aidocell.calibrate import measure_rate
    from aidocell.configured import read_configured

    measured = measure_rate(read_configured(config)[0])
    if as_json:
        typer.echo(json.dumps(measured, indent=2))
        return
    how = ", ".join(f"{name} {measured[name]}" for name in ("device", "precision", "attention"))
    typer.echo(
        f"measured on {measured['cells']} made-up cells of full size ({how}); in the config:"
    )
    typer.echo(f"embed:\n  cells_per_second: {measured['cells_per_second']:g}")


def recover(
    results: Results = Path("results"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a run that lives.")] = False,
    stalled: Annotated[
        bool, typer.Option("--stalled", help="First stop a run that lives and waits for nothing.")
    ] = False,
    silent_minutes: Annotated[
        float,
        typer.Option("--silent-minutes", min=0, help="With --stalled: silence that proves it."),
    ] = 5,
) -> None:
    """After a killed run: end its Slurm jobs, clear its lock, remove its temporary files."""
    from aidocell.recover import recover as recover_run

    recover_run(results, wait=wait, stalled=stalled, silent_minutes=silent_minutes)


def status(
    results: Results = Path("results"),
    silent_minutes: Annotated[
        float,
        typer.Option("--silent-minutes", min=1, help="Silence after which a job counts as lost."),
    ] = 5,
    as_json: Json = False,
) -> None:
    """How far the run is, what failed and what is silent: from files alone."""
    from aidocell.status import read_status
    from aidocell.statustext import describe, plain

    found = read_status(results, silent_minutes=silent_minutes)
    typer.echo(json.dumps(plain(found), indent=2) if as_json else describe(found))

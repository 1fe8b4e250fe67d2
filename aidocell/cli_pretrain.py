"""The ``aidocell pretrain`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_options import (
    AcceptLicense,
    MinShare,
    Model,
    Output,
    Overwrite,
    Revision,
    reading_options,
    with_options,
)
from aidocell.errors import printable

__all__ = ["add_pretrain_command"]


def recipe_options(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with keys of the recipe.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="Begin with random weights: 3M, 10M or 100M.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the weights and every draw; 0 if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Of the optimiser.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Cells that pass a device at once.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(metavar="N", help="Batches of each device that make one step.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    validation_cells: Annotated[
        int | None, typer.Option(metavar="N", help="Cells set apart to judge by.")
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(metavar="N", help="Steps between two judgements.")
    ] = None,
    save_minutes: Annotated[
        float | None, typer.Option(help="Minutes of work that a kill may cost.")
    ] = None,
    activation_checkpointing: Annotated[
        bool,
        typer.Option("--activation-checkpointing", help="Less memory, a third more time."),
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs that share a step.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    attention: Annotated[str | None, typer.Option(help="auto, sdpa, flash or reference.")] = None,
) -> Any:
    """How to pre-train; an option wins over the file's key."""
    from aidocell.train.pretrain_options import read_recipe

    return read_recipe(
        config,
        network=shape,
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        rate=learning_rate,
        validation_cells=validation_cells,
        validate_every=validate_every,
        save_minutes=save_minutes,
        activation_checkpointing=activation_checkpointing or None,
        device=device,
        devices=devices,
        precision=precision,
        attention=attention,
    )


def add_pretrain_command(app: typer.Typer) -> None:
    """Register ``pretrain``."""
    app.command(
        "pretrain",
        epilog="Example: aidocell pretrain a/counts.zarr.zip b/counts.zarr.zip "
        "--model genbio-ai/AIDO.Cell-3M --accept-model-license --steps 10000 --output continued",
    )(pretrain)


@with_options(reading=reading_options, recipe=recipe_options)
def pretrain(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...")],
    output: Output,
    reading: Any,
    recipe: Any,
    model: Model = None,
    min_gene_share: MinShare = 0.5,
    revision: Revision = None,
    accept_model_license: AcceptLicense = False,
    demonstration: Annotated[
        bool, typer.Option("--demonstration", help="Say so in the checkpoint's card.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run of this output that was killed.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Pre-train on cells without labels, from a checkpoint or random weights; OUTPUT is a checkpoint.

    Part of a cell's molecules and genes are hidden, and the network predicts the hidden genes at
    full depth. The defaults are the recipe of the official model card.
    """
    from aidocell.train.pretrain_files import pretrain_files

    pretrain_files(
        inputs,
        output,
        recipe=recipe,
        model=model,
        input_options=reading,
        min_share=min_gene_share,
        revision=revision,
        accept_license=accept_model_license,
        demonstration=demonstration,
        overwrite=overwrite,
        resume=resume,
    )
    typer.echo(f"wrote {printable(output)}")

"""The ``aidocell finetune`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_options import (
    AcceptLicense,
    Group,
    Label,
    MinCells,
    MinShare,
    Output,
    Overwrite,
    Revision,
    reading_options,
    with_options,
)
from aidocell.errors import InputError, printable

__all__ = ["add_finetune_command"]


def finetune_options(
    mode: Annotated[
        str, typer.Option(help="What is trained: full, last, lora or frozen (the head alone).")
    ] = "full",
    last_layers: Annotated[int, typer.Option(min=1, help="Layers that mode last trains.")] = 1,
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank of the additions.")] = 8,
    lora_alpha: Annotated[float, typer.Option(help="Their scale times the rank.")] = 16.0,
    head: Annotated[str, typer.Option(help="linear or mlp.")] = "linear",
    pooling: Annotated[str, typer.Option(help="max or mean, over all gene positions.")] = "max",
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Cells that pass a device at once.")
    ] = 16,
    accumulate: Annotated[
        int, typer.Option(min=1, metavar="N", help="Batches of each device that make one step.")
    ] = 1,
    learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="On all weights.")] = 0.01,
    betas: Annotated[str, typer.Option(metavar="A,B", help="AdamW's.")] = "0.9,0.95",
    warmup_share: Annotated[float, typer.Option(help="Share of steps in which it rises.")] = 0.01,
    clip: Annotated[float, typer.Option(help="Largest norm of a gradient.")] = 1.0,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Let every class count the same.")
    ] = False,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="End after so many epochs without a better macro-F1."),
    ] = None,
    validation_share: Annotated[
        float, typer.Option(help="Cells set apart to judge epochs; with --group whole donors.")
    ] = 0.1,
    activation_checkpointing: Annotated[
        bool,
        typer.Option("--activation-checkpointing", help="Less memory, a third more time."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs that share a step.")] = 1,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    attention: Annotated[str, typer.Option(help="auto, sdpa, flash or reference.")] = "auto",
) -> Any:
    """How to fine-tune."""
    from aidocell.train.options import FinetuneOptions

    return FinetuneOptions(
        mode=mode,
        last_layers=last_layers,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        head=head,
        pooling=pooling,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        rate=learning_rate,
        weight_decay=weight_decay,
        betas=_betas(betas),
        warmup_share=warmup_share,
        clip=clip,
        class_weights=class_weights,
        patience=patience,
        validation_share=validation_share,
        activation_checkpointing=activation_checkpointing,
        device=device,
        devices=devices,
        precision=precision,
        attention=attention,
    )


def add_finetune_command(app: typer.Typer) -> None:
    """Register ``finetune``."""
    app.command(
        "finetune",
        epilog="Example: aidocell finetune labelled.h5ad --label cell_type "
        "--model genbio-ai/AIDO.Cell-3M --accept-model-license --output tuned",
    )(finetune)


@with_options(reading=reading_options, options=finetune_options)
def finetune(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED")],
    label: Label,
    model: Annotated[str, typer.Option(metavar="M", help="Checkpoint: a folder or a hub id.")],
    output: Output,
    reading: Any,
    options: Any,
    group: Group = None,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    min_cells_per_class: MinCells = None,
    max_cells: Annotated[
        int | None, typer.Option(min=100, help="Of more labelled cells draw this many, by class.")
    ] = None,
    min_gene_share: MinShare = 0.5,
    revision: Revision = None,
    accept_model_license: AcceptLicense = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run of this output that was killed.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a checkpoint to tell cell types apart; OUTPUT is a folder that `annotate apply` takes.

    The defaults are the example recipe of the official framework.
    """
    from aidocell.train.finetune_files import finetune_file

    finetune_file(
        labelled,
        model,
        output,
        label=label,
        group=group,
        input_options=reading,
        options=options,
        seed=seed,
        min_cells_per_class=min_cells_per_class,
        max_cells=max_cells,
        min_share=min_gene_share,
        revision=revision,
        accept_license=accept_model_license,
        overwrite=overwrite,
        resume=resume,
    )
    typer.echo(f"wrote {printable(output)}")


def _betas(text: str) -> tuple[float, float]:
    try:
        first, second = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            "E_USAGE", f"--betas is '{text}'", fix="give two numbers, such as 0.9,0.95"
        ) from error
    return first, second

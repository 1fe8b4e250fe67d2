"""The ``aidocell annotate`` commands."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_apply import add_apply_commands
from aidocell.cli_options import (
    Folds,
    Group,
    Label,
    MaxCells,
    MinCells,
    Model,
    Output,
    Overwrite,
    Seed,
    embedding_options,
    options_from_text,
    reading_options,
    refuse_options,
    require_command,
    with_options,
)
from aidocell.errors import printable
from aidocell.files import refuse_existing

__all__ = ["annotate"]

_SPELLED = {"learning_rate": "rate"}  # as `aidocell finetune` has it

annotate = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Train, judge and apply classifiers of cell types.",
)


@annotate.callback()
def annotate_common(context: typer.Context) -> None:
    require_command(context)


@annotate.command(
    "train",
    epilog="Example: aidocell annotate train embeddings.zarr.zip --label cell_type --output classifier",
)
@with_options(reading=reading_options, embedding=embedding_options)
def train(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED")],
    label: Label,
    output: Output,
    reading: Any,
    embedding: Any,
    model: Model = None,
    method: Annotated[str, typer.Option(help="logistic, knn or mlp.")] = "logistic",
    group: Group = None,
    folds: Folds = 5,
    seed: Seed = 0,
    min_cells_per_class: MinCells = None,
    max_cells: MaxCells = 50_000,
    known_coverage: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of known cells that the unknown threshold leaves."),
    ] = 0.9,
    ontology: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column with Cell Ontology ids.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn cell types from labelled cells; OUTPUT is a folder of arrays and JSON."""
    from aidocell.standalone import embedded
    from aidocell.tasks.annotate_files import annotate_train
    from aidocell.tasks.train import require_trainable

    refuse_existing(output, overwrite=overwrite, inputs=[labelled])
    require_trainable(method)
    columns = {"--label": label, "--group": group, "--ontology": ontology}
    with embedded(
        labelled, model=model, input_options=reading, columns=columns, **embedding
    ) as store:
        annotate_train(
            [store],
            output,
            label=label,
            method=method,
            group=group,
            folds=folds,
            seed=seed,
            min_cells_per_class=min_cells_per_class,
            max_cells=max_cells,
            known_coverage=known_coverage,
            ontology=ontology,
            overwrite=overwrite,
        )
    typer.echo(f"wrote {printable(output)}")


@annotate.command(
    "evaluate",
    epilog="Example: aidocell annotate evaluate labelled.h5ad --label cell_type "
    "--methods logistic,genes-logistic --model M --output evaluation",
)
@with_options(reading=reading_options, embedding=embedding_options)
def evaluate(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED")],
    label: Label,
    output: Output,
    reading: Any,
    embedding: Any,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Methods to judge; without it those that are quick."),
    ] = None,
    model: Model = None,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Embeddings of these cells.")
    ] = None,
    group: Group = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Folds of the cross-validation; 5.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Different splits into folds; 1.")
    ] = None,
    leave_one_group_out: Annotated[
        bool, typer.Option("--leave-one-group-out", help="Make each group a fold.")
    ] = False,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judge by these cells, not by folds.")
    ] = None,
    test_embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Embeddings of the test cells.")
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Cells by which fine-tuning stops early.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="CellTypist model of the method reference."),
    ] = None,
    finetune: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the method finetune; repeatable."),
    ] = None,
    seed: Seed = 0,
    min_cells_per_class: MinCells = None,
    max_cells: MaxCells = 50_000,
    overwrite: Overwrite = False,
) -> None:
    """Judge methods on labelled cells, by folds or by a test file; OUTPUT is a folder of tables."""
    from aidocell.baselines import METHODS
    from aidocell.standalone import labelled_stores
    from aidocell.tasks.evaluate_files import annotate_evaluate
    from aidocell.tasks.judging import require_methods

    given = [path for path in (labelled, embeddings, test, test_embeddings, valid) if path]
    refuse_existing(output, overwrite=overwrite, inputs=given)
    by_folds = {"--folds": folds, "--repeats": repeats}
    if test is not None:
        refuse_options({**by_folds, "--leave-one-group-out": leave_one_group_out}, "beside --test")
    else:
        refuse_options({"--valid": valid, "--test-embeddings": test_embeddings}, "without --test")
    if leave_one_group_out:
        refuse_options(by_folds, "beside --leave-one-group-out")
        refuse_options({"--leave-one-group-out": group is None}, "without --group")
    names = [name.strip() for name in methods.split(",")] if methods else None
    settings = {"reference": reference, "network": _network(model, embedding, finetune or [])}
    if "reference" not in (names or ()):
        refuse_options({"--reference": reference}, "without the method reference")
    if "finetune" not in (names or ()):
        refuse_options({"--finetune": finetune}, "without the method finetune")
    if names is not None:  # what the cells have is known when they are read, the rest now
        require_methods(names, embeddings=True, counts=True, settings={"genes": [], **settings})
    shared = {
        "model": model,
        "input_options": reading,
        "columns": {"--label": label, "--group": group},
        **embedding,
    }
    with ExitStack() as stack:

        def opened(path: Path | None, **more: Any) -> Any:
            return path and stack.enter_context(labelled_stores(path, **shared, **more))

        counts_alone = names is not None and not any(
            METHODS[name].needs == "embedding" for name in names
        )
        stores = opened(labelled, embeddings=embeddings, counts_alone=counts_alone)
        annotate_evaluate(
            output,
            label=label,
            embeddings=stores.embeddings,
            counts=stores.counts,
            methods=names,
            group=group,
            folds=folds or 5,
            repeats=repeats or 1,
            leave_one_group_out=leave_one_group_out,
            test=opened(test, embeddings=test_embeddings, counts_alone=counts_alone),
            valid=opened(valid, embeddings=None, counts_alone=True),
            settings=settings,
            seed=seed,
            min_cells_per_class=min_cells_per_class,
            max_cells=max_cells,
            overwrite=overwrite,
        )
    typer.echo(f"wrote {printable(output)}")


def _network(model: str | None, embedding: dict[str, Any], given: list[str]) -> Any:
    """The checkpoint that the method finetune begins with, and how it is trained."""
    from aidocell.train.options import FinetuneOptions, Network

    if model is None:
        refuse_options({"--finetune": given}, "without --model")
        return None
    where = {name: embedding[name] for name in ("device", "precision", "attention")}
    return Network(
        model=model,
        revision=embedding["revision"],
        accept_license=embedding["accept_license"],
        options=FinetuneOptions(
            **{**where, **options_from_text(FinetuneOptions, given, **_SPELLED)}
        ),
    )


add_apply_commands(annotate)

"""The ``aidocell annotate`` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
    reading_options,
    require_command,
    with_options,
)
from aidocell.errors import printable
from aidocell.files import refuse_existing

__all__ = ["annotate"]

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
    method: Annotated[str, typer.Option(help="logistic or knn.")] = "logistic",
    group: Group = None,
    folds: Folds = 5,
    seed: Seed = 0,
    min_cells_per_class: MinCells = None,
    max_cells: MaxCells = 50_000,
    overwrite: Overwrite = False,
) -> None:
    """Learn cell types from labelled cells; OUTPUT is a folder of arrays and JSON."""
    from aidocell.standalone import embedded
    from aidocell.tasks.annotate_files import annotate_train
    from aidocell.tasks.train import require_trainable

    refuse_existing(output, overwrite=overwrite, inputs=[labelled])
    require_trainable(method)
    columns = {"--label": label, "--group": group}
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
            overwrite=overwrite,
        )
    typer.echo(f"wrote {printable(output)}")


@annotate.command(
    "apply",
    epilog="Example: aidocell annotate apply new.h5ad --model M --classifier classifier --output out.parquet",
)
@with_options(reading=reading_options, embedding=embedding_options)
def apply(
    query: Annotated[Path, typer.Argument(metavar="QUERY")],
    classifier: Annotated[Path, typer.Option(help="Folder that `annotate train` wrote.")],
    output: Output,
    reading: Any,
    embedding: Any,
    model: Model = None,
    overwrite: Overwrite = False,
) -> None:
    """Label cells: predicted type, its probability, and one column a type."""
    from aidocell.standalone import embedded
    from aidocell.tasks.annotate_files import annotate_apply
    from aidocell.tasks.classifier_folder import load_classifier

    refuse_existing(output, overwrite=overwrite, inputs=[query, classifier])
    known = load_classifier(classifier)
    embedding = {"pooling": known.pooling, **embedding}
    with embedded(
        query, model=model, input_options=reading, classifier=known, **embedding
    ) as store:
        annotate_apply([store], output, classifier=classifier, overwrite=overwrite)
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
        str | None, typer.Option(metavar="A,B,C", help="Methods to judge; all that can run.")
    ] = None,
    model: Model = None,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Embeddings of these cells.")
    ] = None,
    group: Group = None,
    folds: Folds = 5,
    seed: Seed = 0,
    min_cells_per_class: MinCells = None,
    max_cells: MaxCells = 50_000,
    overwrite: Overwrite = False,
) -> None:
    """Judge methods on labelled cells by cross-validation; OUTPUT is a folder of tables."""
    from aidocell.standalone import labelled_stores
    from aidocell.tasks.evaluate_files import annotate_evaluate

    refuse_existing(output, overwrite=overwrite, inputs=[labelled])
    with labelled_stores(
        labelled,
        model=model,
        embeddings=embeddings,
        input_options=reading,
        columns={"--label": label, "--group": group},
        **embedding,
    ) as stores:
        annotate_evaluate(
            output,
            label=label,
            embeddings=stores.embeddings,
            counts=stores.counts,
            methods=[name.strip() for name in methods.split(",")] if methods else None,
            group=group,
            folds=folds,
            seed=seed,
            min_cells_per_class=min_cells_per_class,
            max_cells=max_cells,
            overwrite=overwrite,
        )
    typer.echo(f"wrote {printable(output)}")

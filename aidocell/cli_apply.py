"""The ``aidocell annotate`` commands that label new cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_options import (
    MinShare,
    Model,
    Output,
    Overwrite,
    embedding_options,
    reading_options,
    refuse_options,
    with_options,
)
from aidocell.errors import InputError, printable
from aidocell.files import refuse_existing

__all__ = ["add_apply_commands"]


def add_apply_commands(annotate: typer.Typer) -> None:
    """Add ``apply`` and ``reference`` to the commands of ``annotate``."""
    annotate.command(
        "apply",
        epilog="Example: aidocell annotate apply new.h5ad --model M --classifier classifier "
        "--output out.parquet",
    )(_apply)
    annotate.command(
        "reference",
        epilog="Example: aidocell annotate reference new.h5ad --reference Immune_All_Low.pkl "
        "--output reference.parquet --compare out.parquet",
    )(_reference)


@with_options(reading=reading_options, embedding=embedding_options)
def _apply(
    query: Annotated[Path, typer.Argument(metavar="QUERY")],
    classifier: Annotated[
        Path, typer.Option(help="Folder that `annotate train` or `finetune` wrote.")
    ],
    output: Output,
    reading: Any,
    embedding: Any,
    model: Model = None,
    unknown_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="X",
            help="Cells less probable than this are unknown; distance counts no more.",
        ),
    ] = None,
    no_unknown: Annotated[bool, typer.Option("--no-unknown", help="Call no cell unknown.")] = False,
    vote: Annotated[
        bool, typer.Option("--vote", help="Add the majority vote of cells that are alike.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Label cells: predicted type, its probability, whether unknown, and one column a type."""
    from aidocell.standalone import embedded
    from aidocell.tasks.annotate_files import annotate_apply
    from aidocell.tasks.classifier_folder import load_classifier
    from aidocell.train.finetuned import is_finetuned

    refuse_existing(output, overwrite=overwrite, inputs=[query, classifier])
    if no_unknown:
        refuse_options({"--unknown-threshold": unknown_threshold}, "beside --no-unknown")
    choices = {"unknown": not no_unknown, "unknown_threshold": unknown_threshold}
    if is_finetuned(classifier):
        given = {"--model": model, "--pooling": embedding.get("pooling"), "--vote": vote}
        refuse_options(given, "beside a fine-tuned network")
        _apply_finetuned(query, classifier, output, reading, embedding, overwrite, choices)
    else:
        known = load_classifier(classifier)
        embedding = {"pooling": known.pooling, **embedding}
        with embedded(
            query, model=model, input_options=reading, classifier=known, **embedding
        ) as store:
            annotate_apply(
                [store],
                output,
                classifier=classifier,
                vote=vote,
                where=str(query),
                overwrite=overwrite,
                **choices,
            )
    typer.echo(f"wrote {printable(output)}")


def _apply_finetuned(
    query: Path,
    classifier: Path,
    output: Path,
    reading: Any,
    embedding: dict[str, Any],
    overwrite: bool,
    choices: dict[str, Any],
) -> None:
    from aidocell.standalone import labelled_stores
    from aidocell.tasks.annotate_files import annotate_apply_counts

    names = ("device", "precision", "attention", "batch_size")
    with labelled_stores(
        query,
        model=str(classifier),
        embeddings=None,
        input_options=reading,
        counts_alone=True,
        min_share=embedding["min_share"],
    ) as stores:
        if not stores.counts:
            what = f"{query} holds embeddings, and a fine-tuned network needs counts"
            raise InputError("E_USAGE", what, fix="give the counts that they were made from")
        annotate_apply_counts(
            stores.counts,
            output,
            classifier=classifier,
            where=str(query),
            overwrite=overwrite,
            **{name: embedding[name] for name in names},
            **choices,
        )


@with_options(reading=reading_options)
def _reference(
    query: Annotated[Path, typer.Argument(metavar="QUERY")],
    reference: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="CellTypist model: a file, or a name.")
    ],
    output: Output,
    reading: Any,
    compare: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of `annotate apply` to set beside.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of cell types to set beside.")
    ] = None,
    min_gene_share: MinShare = 0.5,
    overwrite: Overwrite = False,
) -> None:
    """Label cells by an existing CellTypist model: no training, no checkpoint."""
    from aidocell.standalone import labelled_stores
    from aidocell.tasks.reference import annotate_reference

    inputs = [path for path in (query, compare) if path]
    refuse_existing(output, overwrite=overwrite, inputs=inputs)
    if compare is not None:
        refuse_options({"--label": label}, "beside --compare")
    with labelled_stores(
        query,
        model=None,
        embeddings=None,
        input_options=reading,
        columns={"--label": label},
        min_share=min_gene_share,
    ) as stores:
        if not stores.counts:
            what = f"{query} holds embeddings, and a CellTypist model needs counts"
            raise InputError("E_USAGE", what, fix="give the counts that they were made from")
        agreement = annotate_reference(
            stores.counts,
            output,
            reference=reference,
            compare=compare,
            label=label,
            overwrite=overwrite,
        )
    if agreement is not None:
        for line in agreement.lines():
            typer.echo(line)
    typer.echo(f"wrote {printable(output)}")

"""The ``aidocell`` command: options in, one call of the package, an exit status out."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_options import (
    AcceptLicense,
    Folds,
    Group,
    Json,
    Label,
    MinCells,
    MinShare,
    Model,
    Output,
    Overwrite,
    Revision,
    Seed,
    Source,
    embedding_options,
    reading_options,
    with_options,
)
from aidocell.errors import AidocellError, InputError, printable
from aidocell.files import raise_if_full, refuse_existing
from aidocell.joblog import configure_logging
from aidocell.provenance import VERSION

# Everything heavier is imported by the command that needs it, so that --help is quick.

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AIDO.Cell on single-cell data: count matrices in; embeddings and cell types out.",
)
annotate = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Train, judge and apply classifiers of cell types.",
)
app.add_typer(annotate, name="annotate")

_UsageError = typer.BadParameter.__base__  # Typer exports only what derives from it


def main() -> None:
    """Run the command line; the process ends with the status that `docs/errors.md` lists."""
    try:
        status = app(prog_name="aidocell", standalone_mode=False) or 0
    except AidocellError as error:
        status = _fail(error)
    except _UsageError as error:
        status = _fail(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        status = _fail_unforeseen(error)
    sys.exit(status)


def _fail(error: AidocellError) -> int:
    typer.echo(error, err=True)
    return error.exit_status


def _usage(error: Any) -> InputError:
    command = error.ctx.command_path if error.ctx else "aidocell"
    what = printable(error.format_message()).rstrip(".")
    return InputError("E_USAGE", what, fix=f"see `{command} --help`")


def _fail_unforeseen(error: Exception) -> int:
    """What no command names: the machine's refusals in the user's terms, all else as a bug."""
    if isinstance(error, OSError):
        try:
            raise_if_full(error, error.filename or "a temporary file")
        except AidocellError as full:
            return _fail(full)
    if isinstance(error, PermissionError):
        what = f"no permission for {error.filename}"
        return _fail(InputError("E_FILE_MISSING", what, fix="ask its owner, or give another path"))
    traceback.print_exception(error)
    typer.echo("this is a bug in aidocell; please report it with the lines above", err=True)
    return 1


def _require_command(context: typer.Context) -> None:
    """Without a command, show which there are."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise InputError(
            "E_USAGE",
            f"`{context.command_path}` needs a command",
            fix="give one of those above",
        )


def _lines(text: str) -> str:
    """Text whose lines are meant, free of what else could move a terminal's cursor."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aidocell {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log only warnings and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    configure_logging(level=logging.WARNING if quiet else logging.INFO)
    _require_command(context)


@annotate.callback()
def annotate_common(context: typer.Context) -> None:
    _require_command(context)


@app.command(epilog="Example: aidocell check sample1.h5ad filtered_feature_bc_matrix.h5")
@with_options(reading=reading_options)
def check(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...")],
    reading: Any,
    model: Model = None,
    min_gene_share: MinShare = 0.5,
    as_json: Json = False,
) -> int:
    """Say what would be accepted, and what is wrong; nothing is written."""
    from aidocell.counts.remarks import describe
    from aidocell.genes import vocabulary_of
    from aidocell.stages.check import audit_or_refusal

    genes = vocabulary_of(model) if model else None
    audits, failure = [], None
    for path in inputs:
        audit, error = audit_or_refusal(path, reading, vocabulary=genes, min_share=min_gene_share)
        audits.append(audit)
        failure = failure or error
        if not as_json:
            typer.echo(_lines(describe(audit)))
    if as_json:
        typer.echo(json.dumps(audits, indent=2))
    return _fail(failure) if failure else 0


@app.command(epilog="Example: aidocell align sample.h5ad --output counts.zarr.zip")
@with_options(reading=reading_options)
def align(
    source: Source,
    output: Output,
    reading: Any,
    model: Model = None,
    min_gene_share: MinShare = 0.5,
    overwrite: Overwrite = False,
) -> None:
    """Place raw counts on the model's genes: cells × 19,264, as one Zarr file."""
    from aidocell.counts.align import align_file
    from aidocell.counts.remarks import describe
    from aidocell.genes import vocabulary_of

    audit = align_file(
        source,
        output,
        options=reading,
        vocabulary=vocabulary_of(model) if model else None,
        min_share=min_gene_share,
        overwrite=overwrite,
    )
    typer.echo(_lines(describe(audit)))


@app.command(
    epilog="Example: aidocell embed sample.h5ad --model genbio-ai/AIDO.Cell-3M "
    "--accept-model-license --output embeddings.zarr.zip"
)
@with_options(reading=reading_options, embedding=embedding_options)
def embed(
    source: Source,
    model: Annotated[str, typer.Option(metavar="M", help="Checkpoint: a folder or a hub id.")],
    output: Output,
    reading: Any,
    embedding: Any,
    overwrite: Overwrite = False,
) -> None:
    """Embed every cell; a run that was killed goes on where it stopped."""
    from aidocell.standalone import embed_file

    embed_file(source, model, output, input_options=reading, overwrite=overwrite, **embedding)
    typer.echo(f"wrote {printable(output)}")


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
    overwrite: Overwrite = False,
) -> None:
    """Learn cell types from labelled cells; OUTPUT is a folder of arrays and JSON."""
    from aidocell.standalone import embedded
    from aidocell.tasks.annotate_files import annotate_train
    from aidocell.tasks.train import require_trainable

    refuse_existing(output, overwrite=overwrite)
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

    refuse_existing(output, overwrite=overwrite)
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
    overwrite: Overwrite = False,
) -> None:
    """Judge methods on labelled cells by cross-validation; OUTPUT is a folder of tables."""
    from aidocell.standalone import labelled_stores
    from aidocell.tasks.annotate_files import annotate_evaluate

    refuse_existing(output, overwrite=overwrite)
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
            overwrite=overwrite,
        )
    typer.echo(f"wrote {printable(output)}")


@app.command(epilog="Example: aidocell verify results/")
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...")], as_json: Json = False
) -> int:
    """Are these outputs whole and unchanged? A results folder is checked by its manifest."""
    from aidocell.manifest import find_damage

    found = [(path, find_damage(path)) for path in paths]
    errors = [error for _, damage in found for error in damage]
    if as_json:
        report = [{"path": str(path), "errors": [str(e) for e in damage]} for path, damage in found]
        typer.echo(json.dumps(report, indent=2))
    else:
        for path, damage in found:
            typer.echo(f"{printable(path)}: {'NOT whole' if damage else 'whole'}")
    for error in errors:
        _fail(error)
    return errors[0].exit_status if errors else 0


@app.command(epilog="Example: aidocell export embeddings.zarr.zip --output embeddings.h5ad")
def export(
    store: Annotated[Path, typer.Argument(metavar="FILE.zarr.zip")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Write an output as .h5ad, for scanpy, Seurat or CELLxGENE."""
    from aidocell.store import export as export_store

    export_store(store, output, overwrite=overwrite)
    typer.echo(f"wrote {printable(output)}")


@app.command(epilog="Example: aidocell doctor --model resources/demo-checkpoint")
def doctor(
    model: Model = None,
    revision: Revision = None,
    accept_model_license: AcceptLicense = False,
    as_json: Json = False,
) -> int:
    """What this machine can do, and what is missing."""
    from aidocell.doctor import examine, refusal

    findings = examine(model, revision=revision, accept_license=accept_model_license)
    if as_json:
        typer.echo(json.dumps([finding.plain() for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(printable(finding.line()))
    error = refusal(findings)
    return _fail(error) if error else 0


@app.command(epilog="Example: aidocell recover results")
def recover(
    results: Annotated[Path, typer.Argument(help="The study's results folder.")] = Path("results"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a run that lives.")] = False,
) -> None:
    """After a killed run: clear Snakemake's lock if its owner is dead."""
    from aidocell.recover import recover as recover_folder

    recover_folder(results.resolve().parent, wait=wait)

"""The ``aidocell`` command: options in, one call of the package, an exit status out."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from aidocell.cli_annotate import annotate
from aidocell.cli_options import (
    AcceptLicense,
    Json,
    MinShare,
    Model,
    Output,
    Overwrite,
    Revision,
    Source,
    embedding_options,
    reading_options,
    require_command,
    with_options,
)
from aidocell.cli_pretrain import add_pretrain_command
from aidocell.cli_runs import add_run_commands
from aidocell.cli_train import add_finetune_command
from aidocell.errors import AidocellError, InputError, printable
from aidocell.joblog import configure_logging
from aidocell.provenance import VERSION
from aidocell.stopping import Stopped, unwind_on_sigterm
from aidocell.unforeseen import in_users_terms

# Everything heavier is imported by the command that needs it, so that --help is quick.

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AIDO.Cell on single-cell data: count matrices in; embeddings and cell types out.",
)
app.add_typer(annotate, name="annotate")
add_finetune_command(app)
add_pretrain_command(app)
add_run_commands(app)

_UsageError = typer.BadParameter.__base__  # Typer exports only what derives from it


def run() -> None:
    """The command itself: as `main`, and then the process ends at once.

    Taking an interpreter with torch and Zarr apart lasts a second, in which a kill would make a
    finished command look like one that failed.
    """
    try:
        main()
    except SystemExit as end:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def main() -> None:
    """Run the command line; `SystemExit` has the status that `docs/errors.md` lists."""
    try:
        with unwind_on_sigterm():
            status = app(prog_name="aidocell", standalone_mode=False) or 0
    except AidocellError as error:
        status = _fail(error)
    except _UsageError as error:
        status = _fail(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Stopped as stop:
        typer.echo(stop, err=True)
        status = stop.code
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
    if known := in_users_terms(error):
        return _fail(known)
    traceback.print_exception(error)
    typer.echo("this is a bug in aidocell; please report it with the lines above", err=True)
    return 1


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
    require_command(context)


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
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The study's config; config/config.yaml if there."),
    ] = None,
    as_json: Json = False,
) -> int:
    """What this machine can do, and what is missing: the look before a run."""
    from aidocell.doctor import examine, refusal

    usual = Path("config/config.yaml")
    findings = examine(
        model,
        revision=revision,
        accept_license=accept_model_license,
        config=config or (usual if usual.exists() else None),
    )
    if as_json:
        typer.echo(json.dumps([finding.plain() for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(printable(finding.line()))
    error = refusal(findings)
    return _fail(error) if error else 0

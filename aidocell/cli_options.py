"""Options that several commands share, each group written once."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from aidocell.errors import InputError

__all__ = [
    "AcceptLicense",
    "Folds",
    "Group",
    "Json",
    "Label",
    "MaxCells",
    "MinCells",
    "MinShare",
    "Model",
    "Output",
    "Overwrite",
    "Revision",
    "Seed",
    "Source",
    "embedding_options",
    "options_from_text",
    "reading_options",
    "refuse_options",
    "require_command",
    "with_options",
]

Source = Annotated[Path, typer.Argument(metavar="INPUT", show_default=False)]
Output = Annotated[Path, typer.Option(help="Where to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="M", help="Checkpoint: a folder, or a hub id such as genbio-ai/AIDO.Cell-3M."
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
AcceptLicense = Annotated[
    bool, typer.Option("--accept-model-license", help="Accept the licence of the weights.")
]
MinShare = Annotated[
    float, typer.Option(min=0, max=1, help="Least share of all counts on genes of the model.")
]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="Column with the cell types.")]
Group = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Donors or batches: held out whole.")
]
Folds = Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]
MinCells = Annotated[int | None, typer.Option(min=2, help="Leave out classes with fewer cells.")]
MaxCells = Annotated[
    int, typer.Option(min=100, help="Of more labelled cells draw this many, by class.")
]


def reading_options(
    layer: Annotated[
        str | None, typer.Option(help="Layer to read, or 'raw' for .raw; X without it.")
    ] = None,
    gene_ids: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of var that names the genes.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read only the barcodes listed here.")
    ] = None,
    round: Annotated[
        bool, typer.Option("--round", help="Accept estimated, fractional counts and round them.")
    ] = False,
) -> Any:
    """How to read an INPUT."""
    from aidocell.counts import InputOptions

    return InputOptions(layer=layer, gene_ids=gene_ids, cells=cells, round=round)


def embedding_options(
    pooling: Annotated[
        str | None,
        typer.Option(help="mean (the default), max, measured, measured_genes or expressed."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    attention: Annotated[str, typer.Option(help="auto, sdpa, flash or reference.")] = "auto",
    batch_size: Annotated[
        str, typer.Option(metavar="auto|N", help="Cells that pass a GPU at once.")
    ] = "auto",
    min_gene_share: MinShare = 0.5,
    revision: Revision = None,
    accept_model_license: AcceptLicense = False,
) -> dict[str, Any]:
    """How to embed, as keywords of `aidocell.standalone.embed_file`."""
    return {
        **({"pooling": pooling} if pooling else {}),
        "device": device,
        "precision": precision,
        "attention": attention,
        "batch_size": batch_size if batch_size == "auto" else _whole_number(batch_size),
        "min_share": min_gene_share,
        "revision": revision,
        "accept_license": accept_model_license,
    }


def options_from_text(options: type, given: Sequence[str], **spelled: str) -> dict[str, Any]:
    """Fields of a dataclass from ``NAME=VALUE``, each in the type of its default.

    Other names of fields are given as `spelled`.

    Raises
    ------
    InputError
        ``E_USAGE``: no such field, or a value of another type.
    """
    defaults = {field.name: field.default for field in fields(options)}
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        name = name.strip().replace("-", "_")
        name = spelled.get(name, name)
        if name not in defaults or not isinstance(defaults[name], str | bool | int | float | None):
            known = ", ".join(n for n, v in defaults.items() if not isinstance(v, tuple))
            raise InputError("E_USAGE", f"no option '{name}'", fix=f"give one of {known}")
        found[name] = _as_type_of(defaults[name], value.strip(), name)
    return found


def _as_type_of(default: object, text: str, name: str) -> Any:
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        words = {"true": True, "false": False}
        if text in words:
            return words[text]
        raise InputError("E_USAGE", f"{name} is '{text}'", fix="give true or false")
    try:
        return float(text) if isinstance(default, float) else int(text)
    except ValueError as error:
        raise InputError("E_USAGE", f"{name} is '{text}'", fix="give a number") from error


def refuse_options(given: dict[str, object], where: str) -> None:
    """Refuse options that say nothing `where` they are."""
    for option in (name for name, value in given.items() if value):
        raise InputError("E_USAGE", f"{option} has no meaning {where}", fix="leave it out")


def require_command(context: typer.Context) -> None:
    """Without a command, show which there are."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise InputError(
            "E_USAGE",
            f"`{context.command_path}` needs a command",
            fix="give one of those above",
        )


def with_options(**groups: Callable) -> Callable[[Callable], Callable]:
    """Give a command the options of each group; it gets what the group makes of them by keyword."""

    def decorate(command: Callable) -> Callable:
        own = [p for name, p in inspect.signature(command).parameters.items() if name not in groups]
        shared = {
            name: list(inspect.signature(g).parameters.values()) for name, g in groups.items()
        }

        @functools.wraps(command)
        def run(**given: Any) -> Any:
            for name, group in groups.items():
                given[name] = group(**{p.name: given.pop(p.name) for p in shared[name]})
            return command(**given)

        hints: dict[str, Any] = {}
        for function in (command, *groups.values()):
            hints.update(get_type_hints(function, include_extras=True))
        parameters = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name])
            for p in [*own, *(p for group in shared.values() for p in group)]
        ]
        run.__signature__ = inspect.Signature(parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _whole_number(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise InputError(
            "E_USAGE", f"batch size '{text}'", fix="give 'auto' or a whole number from 1"
        )
    return int(text)

"""From one INPUT to its embeddings in one process, for the command line.

The work is that of :mod:`aidocell.sharding`, one shard after another.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aidocell.blocks import BLOCK_CELLS
from aidocell.counts import InputOptions, open_counts
from aidocell.counts.align import align_file
from aidocell.counts.audit import input_sha256
from aidocell.embedding import Runtime, require_pooling, resolve_runtime
from aidocell.errors import InputError
from aidocell.files import refuse_existing, remove
from aidocell.gathering import gather
from aidocell.genes import vocabulary_of
from aidocell.lock import hold
from aidocell.model import AidoCell, checkpoint_info, load_model
from aidocell.provenance import REVISION, require_same
from aidocell.records import read_record, write_record
from aidocell.sharding import embed_shards
from aidocell.store import SUFFIX, StoreReader, verify
from aidocell.tasks.classifier import Classifier
from aidocell.tasks.stored import Stores

__all__ = ["aligned_counts", "embed_file", "embedded", "labelled_stores"]

log = logging.getLogger(__name__)


def embed_file(
    source: str | Path,
    model: str,
    output: str | Path,
    *,
    input_options: InputOptions | None = None,
    pooling: str = "mean",
    device: str = "auto",
    precision: str = "auto",
    attention: str = "auto",
    batch_size: int | str = "auto",
    min_share: float = 0.5,
    revision: str | None = None,
    accept_license: bool = False,
    block_cells: int = BLOCK_CELLS,
    overwrite: bool = False,
) -> None:
    """Align and embed any INPUT; a killed run goes on where it stopped, with the same bytes.

    Work so far lies in a hidden folder beside `output`, which one process holds at a time. A run
    that was killed when `output` was already in place is only cleaned up after.
    Cells without a count in the model's genes are left out by name, with a warning.

    Parameters
    ----------
    source
        Any INPUT, read by `input_options`.
    output
        ``NAME.zarr.zip``.
    min_share
        Share of all counts that has to be on genes of the model, between 0 and 1.
    block_cells
        Cells after which work so far is saved, where half a minute is not over before.

    Raises
    ------
    InputError
        What reading, aligning and loading the model raise; nothing is left beside `output`.
    MachineError
        ``E_LOCKED``, ``E_GPU_MEMORY``, ``E_DISK_FULL``; work so far stays.
    """
    output = Path(output)
    work = output.with_name(f".{output.name}.partial")
    lock = output.with_name(f".{output.name}.lock")
    left_over = work.exists() or lock.exists()  # of a run that was killed, perhaps at its very end
    refuse_existing(output, overwrite=overwrite or left_over, inputs=[source])
    if not output.name.endswith(SUFFIX):
        raise InputError(
            "E_USAGE", f"the output {output} is no {SUFFIX} file", fix=f"name it NAME{SUFFIX}"
        )
    require_pooling(pooling)
    runtime = resolve_runtime(device=device, precision=precision, attention=attention)
    options = {"pooling": pooling, "precision": precision, "attention": attention}
    fresh = not work.exists()
    with hold(lock):
        try:
            network = load_model(model, revision=revision, accept_license=accept_license)
            reading = input_options or InputOptions()
            counts = aligned_counts(Path(source), network, reading, min_share, work)
            if overwrite or not output.exists():
                shards = embed_shards(
                    network, counts, work, options, runtime, batch_size, block_cells
                )
                gather(counts, work / "shards.json", shards, output, overwrite=overwrite)
            elif not _is_result(output, counts, network, options, runtime):
                refuse_existing(output, overwrite=False)
        except InputError:
            if fresh:
                remove(work)
            raise
        remove(work)


@contextmanager
def embedded(
    source: str | Path,
    *,
    model: str | None,
    input_options: InputOptions,
    columns: Mapping[str, str | None] | None = None,
    classifier: Classifier | None = None,
    **options: Any,
) -> Iterator[Path]:
    """A store of embeddings as it is, or the embeddings of an INPUT, made for the occasion.

    Parameters
    ----------
    model
        Needed for an INPUT alone.
    columns
        Columns that the cells must have, by the option that names them: an INPUT without them is
        refused before hours of work.
    classifier
        Likewise: what the embeddings are for.
    options
        As for :func:`embed_file`.
    """
    if _holds_embeddings(source):
        yield Path(source)
        return
    if model is None:
        raise InputError(
            "E_USAGE",
            f"{source} holds no embeddings, and no model was given",
            fix="give --model M, or an embeddings.zarr.zip",
        )
    _require_columns(source, input_options, columns or {})
    if classifier is not None:
        _require_fit(classifier, model, options)
    with tempfile.TemporaryDirectory(prefix="aidocell-") as folder:
        store = Path(folder) / f"embeddings{SUFFIX}"
        embed_file(source, model, store, input_options=input_options, **options)
        yield store


@contextmanager
def labelled_stores(
    source: str | Path,
    *,
    model: str | None,
    embeddings: str | Path | None,
    input_options: InputOptions,
    columns: Mapping[str, str | None] | None = None,
    counts_alone: bool = False,
    min_share: float = 0.5,
    **options: Any,
) -> Iterator[Stores]:
    """Aligned counts of an INPUT, and its embeddings if a model or a store of them is given.

    Parameters
    ----------
    columns
        As in :func:`embedded`.
    counts_alone
        Embed nothing: the model says which genes there are, no more.
    """
    if _holds_embeddings(source):
        yield Stores([Path(source)], [])
        return
    _require_columns(source, input_options, columns or {})
    with tempfile.TemporaryDirectory(prefix="aidocell-") as folder:
        counts = Path(folder) / f"counts{SUFFIX}"
        genes = vocabulary_of(model) if model else None
        align_file(source, counts, options=input_options, vocabulary=genes, min_share=min_share)
        if embeddings is not None:
            yield Stores([Path(embeddings)], [counts])
        elif model is None or counts_alone:
            yield Stores([], [counts])
        else:
            store = Path(folder) / f"embeddings{SUFFIX}"
            embed_file(counts, model, store, **options)
            yield Stores([store], [counts])


def _require_columns(
    source: str | Path, options: InputOptions, columns: Mapping[str, str | None]
) -> None:
    with open_counts(source, options) as counts:
        there = list(counts.cells.columns)
    for option, name in columns.items():
        if name is not None and name not in there:
            raise InputError(
                "E_LABEL_MISSING",
                f"the cells of {source} have no column '{name}' (columns: {', '.join(there) or 'none'})",
                fix=f"give one of those to {option}",
            )


def _require_fit(classifier: Classifier, model: str, options: Mapping[str, Any]) -> None:
    """Refuse a checkpoint or pooling that the classifier was not trained on."""
    info = checkpoint_info(
        model, revision=options["revision"], accept_license=options["accept_license"]
    )
    expected = classifier.content["embedding"]
    require_same("checkpoint", expected["model"]["sha256"], info.sha256, where=model)
    require_same("pooling", classifier.pooling, options["pooling"], where="--pooling")


def _holds_embeddings(path: str | Path) -> bool:
    """Whether `path` is a store of embeddings rather than an INPUT."""
    if not str(path).endswith(SUFFIX):
        return False
    with StoreReader(path) as store:
        return store.provenance.get("stage") == "embed"


def aligned_counts(
    source: Path, network: AidoCell, options: InputOptions, min_share: float, work: Path
) -> Path:
    """The counts over the model's genes: `source` itself where it holds them, or a new file."""
    if source.name.endswith(SUFFIX) and options == InputOptions():
        with StoreReader(source) as store:
            if store.provenance.get("genes_sha256") == network.genes.sha256 and store.shape[1]:
                return source
    counts, record = work / f"counts{SUFFIX}", work / "aligned.json"
    asked = {
        **options.made_from(input_sha256(source)),
        "genes_sha256": network.genes.sha256,
        "revision": REVISION["align"],
        "min_share": min_share,
    }
    if not _is_aligned(counts, record, asked):
        align_file(
            source,
            counts,
            options=options,
            vocabulary=network.genes,
            min_share=min_share,
            overwrite=True,
        )
        write_record(record, asked)
    return counts


def _is_aligned(counts: Path, record: Path, asked: dict[str, Any]) -> bool:
    """Whether a run that was killed left the counts that this one needs, whole."""
    if not record.exists() or not counts.exists():
        return False
    try:
        verify(counts)
        return read_record(record) == asked
    except InputError as error:
        log.warning("aligning again: %s", error)
        return False


def _is_result(
    output: Path, counts: Path, network: AidoCell, options: dict[str, str], runtime: Runtime
) -> bool:
    """Whether `output` is what this very command makes, so that only its clean-up is missing."""
    verify(output)
    with StoreReader(output) as made, StoreReader(counts) as given:
        found = made.provenance
        wanted = {name: given.provenance[name] for name in ("counts_digest", "input_sha256")}
    wanted |= {"options": options, "resolved": asdict(runtime), "revision": REVISION["embed"]}
    checkpoint = found.get("model", {}).get("sha256")
    return checkpoint == network.checkpoint.sha256 and wanted == {n: found.get(n) for n in wanted}

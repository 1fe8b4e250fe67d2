"""The benchmark's checkpoints, and the embeddings of its data sets; or why there are none."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aidocell import files
from aidocell.baselines import Unavailable
from aidocell.benchmark.data import store_of
from aidocell.benchmark.sources import DATA, EMBEDDED, require_available
from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.records import read_record, write_record

__all__ = ["embed_dataset", "find_model", "where"]

log = logging.getLogger(__name__)

# A checkpoint that is not there, is not accepted, or did not come whole.
_ABSENT = ("E_MODEL_MISSING", "E_MODEL_HASH", "E_USAGE")


def find_model(
    record: str | Path, model: str, *, revision: str | None = None, accept_license: bool = False
) -> None:
    """Fetch a checkpoint if need be, and write what it is or why it is unavailable."""
    from aidocell.model import checkpoint_info

    try:
        info = checkpoint_info(model, revision=revision, accept_license=accept_license)
        found = {"status": "available", "reason": "", "checkpoint": asdict(info)}
    except InputError as error:
        if error.id not in _ABSENT:
            raise
        log.warning("%s is unavailable: %s", model, error)
        found = {"status": "unavailable", "reason": error.what, "checkpoint": None}
    write_record(record, {"model": model, **found})


def embed_dataset(
    folder: str | Path,
    *,
    data: str | Path,
    record: str | Path,
    options: Mapping[str, str],
    revision: str | None = None,
    accept_license: bool = False,
) -> None:
    """Embed every part of a data set: ``PART.zarr.zip`` and ``embedded.json``.

    Parameters
    ----------
    data, record
        What :func:`aidocell.benchmark.data.prepare_dataset` and :func:`find_model` wrote.
    options
        ``pooling``, ``device``, ``precision`` and ``attention`` of :func:`aidocell.embed`.
    """
    from aidocell.standalone import embed_file

    about, found_model = read_record(Path(data) / DATA), read_record(record)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        seconds: dict[str, float] = {}
        try:
            require_available(about, found_model)
            for part in about["parts"]:
                began = time.perf_counter()
                embed_file(
                    store_of(data, part),
                    found_model["model"],
                    store_of(temporary, part),
                    min_share=0,  # counts that were aligned before; a smaller list takes its part
                    revision=revision,
                    accept_license=accept_license,
                    **options,
                )
                seconds[part] = time.perf_counter() - began
            found = {"status": "available", "reason": "", **where(options["device"])}
        except (Unavailable, MachineError) as error:
            found = {"status": "unavailable", "reason": _lacking(error), "device": "", "gpu": False}
        write_record(temporary / EMBEDDED, {**found, "seconds": seconds, "options": dict(options)})


def where(device: str) -> dict[str, Any]:
    """Which device ``auto`` or a name means on this machine, and the name of its GPU."""
    import torch

    from aidocell.embedding import resolve_runtime

    kind = resolve_runtime(device=device).device
    name = torch.cuda.get_device_name(0) if kind == "cuda" else "CPU"
    return {"device": name, "gpu": kind == "cuda"}


def _lacking(error: Exception) -> str:
    """Too little memory of a GPU is said in the rows; a full disk fails the job."""
    if isinstance(error, AidocellError) and error.id != "E_GPU_MEMORY":
        raise error
    return error.what if isinstance(error, AidocellError) else str(error)

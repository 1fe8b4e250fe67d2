"""Training in this process or in several spawned ones, whose errors come back as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.files import read_json, write_json

if TYPE_CHECKING:
    from lightning.fabric import Fabric

__all__ = ["errors_left_at", "launch"]

_ERROR = "error.json"


def launch(
    fabric: Fabric,
    function: Callable[..., Any],
    *arguments: Any,
    folder: Path | None,
    out_of_memory: MachineError,
) -> Any:
    """What ``function(fabric, *arguments)`` returns; None where several processes ran it.

    Parameters
    ----------
    folder
        Where :func:`errors_left_at` leaves errors; may be None for one process.
    out_of_memory
        Raised where the GPU's memory was too small.
    """
    try:
        return fabric.launch(function, *arguments)
    except torch.cuda.OutOfMemoryError as error:
        raise out_of_memory from error
    except torch.multiprocessing.ProcessRaisedException as error:
        if "OutOfMemoryError" in str(error):
            raise out_of_memory from error
        _raise_known(folder / _ERROR)
        raise


@contextmanager
def errors_left_at(folder: Path | None, fabric: Fabric) -> Iterator[None]:
    """Leave an error of the first of several processes in `folder`: only text comes back from it."""
    try:
        yield
    except AidocellError as error:
        if fabric.world_size > 1 and fabric.is_global_zero:
            told = {"status": error.exit_status, "id": error.id, "what": error.what}
            write_json(folder / _ERROR, {**told, "fix": error.fix})
        raise


def _raise_known(path: Path) -> None:
    if not path.exists():
        return
    told = read_json(path)
    path.unlink()
    kind = MachineError if told["status"] == MachineError.exit_status else InputError
    raise kind(told["id"], told["what"], fix=told["fix"])

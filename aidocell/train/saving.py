"""The state of a training on disk, from which a killed one goes on."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from aidocell import files
from aidocell.errors import InputError
from aidocell.provenance import require_same

__all__ = ["load_state", "save_state"]

_DIGEST = hashlib.sha256().digest_size


def save_state(path: str | Path, *, key: str, **parts: Any) -> None:
    """Write tensors and plain values, whole or not at all: an earlier state is kept until then.

    Parameters
    ----------
    key
        From :func:`aidocell.provenance.run_key` of all that shapes the training: options, digest of
        the data, sha256 of the checkpoint it began with.
    parts
        What `torch.load` reads with ``weights_only``: tensors, numbers, texts, and lists and dicts
        of them, such as a ``state_dict()``.
    """
    import torch

    with files.atomic(path) as temporary:
        torch.save({"key": key, "parts": parts}, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).digest()
        with temporary.open("ab") as handle:
            handle.write(digest)


def load_state(path: str | Path, *, key: str) -> dict[str, Any]:
    """The parts that :func:`save_state` wrote, on the CPU.

    Raises
    ------
    InputError
        ``E_FILE_DAMAGED``: a byte is not as it was written. ``E_STORE_MISMATCH``: it belongs to a
        training with other options, data or checkpoint.
    """
    import torch

    path = Path(path)
    content = path.read_bytes()
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise _damaged(path)
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        found, parts = state["key"], state["parts"]
    except Exception as error:  # a file made to pass the digest trips torch's reader in any place
        raise _damaged(path) from error
    require_same(
        "the run key",
        key,
        found,
        where=str(path),
        fix="go on with the options, cells and checkpoint it was begun with, or remove "
        f"{path.parent} to begin anew",
    )
    return parts


def _damaged(path: Path) -> InputError:
    return InputError(
        "E_FILE_DAMAGED",
        f"the saved training {path} is torn or changed",
        fix=f"remove {path.parent} and begin anew",
    )

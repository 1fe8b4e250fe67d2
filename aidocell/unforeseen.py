"""Refusals of the machine that can come from any line, in the user's terms."""

from __future__ import annotations

from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.files import raise_if_disk_failed

__all__ = ["in_users_terms", "raise_if_machine_failed"]

# PyTorch, safetensors, Zstandard, threads and the loading of libraries raise no MemoryError.
_TOO_LITTLE_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "can't start new thread",
    "failed to map segment from shared object",
)


def in_users_terms(error: Exception) -> AidocellError | None:
    """The error that stands for a failing disk, too little memory or no permission; None for a bug."""
    if isinstance(error, AidocellError):
        return error
    if isinstance(error, MemoryError) or _tells_of_memory(error):
        return MachineError(
            "E_MEMORY",
            "the memory of this machine does not suffice",
            fix="give the job more (mem_mb in the profile), or use a machine with more",
        )
    if isinstance(error, PermissionError):
        what = f"no permission for {error.filename}"
        return InputError("E_FILE_MISSING", what, fix="ask its owner, or give another path")
    if isinstance(error, OSError):
        try:
            raise_if_disk_failed(error, error.filename or "a temporary file")
        except MachineError as failed:
            return failed
    return None


def _tells_of_memory(error: Exception) -> bool:
    return any(words in str(error).lower() for words in _TOO_LITTLE_MEMORY)


def raise_if_machine_failed(error: Exception) -> None:
    """Raise what `error` says of memory or disk, so that no good file is blamed for it."""
    failed = in_users_terms(error)
    if isinstance(failed, MachineError):
        raise failed from error

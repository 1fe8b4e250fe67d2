"""Refusals of the machine that can come from any line, in the user's terms."""

from __future__ import annotations

from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.files import raise_if_disk_failed

__all__ = ["in_users_terms", "raise_if_machine_failed"]

# PyTorch, safetensors, threads and the loading of libraries raise no MemoryError.
_TOO_LITTLE_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to map segment from shared object",
)


def in_users_terms(error: Exception) -> AidocellError | None:
    """The error that stands for a failing disk, too little memory or no permission; None for a bug."""
    if isinstance(error, AidocellError):
        return error
    if isinstance(error, MemoryError) or any(text in str(error) for text in _TOO_LITTLE_MEMORY):
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


def raise_if_machine_failed(error: Exception) -> None:
    """Raise what `error` says of memory or disk, so that no good file is blamed for it."""
    failed = in_users_terms(error)
    if isinstance(failed, MachineError):
        raise failed from error

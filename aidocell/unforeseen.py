"""Refusals of the machine that can come from any line, in the user's terms."""

from __future__ import annotations

from aidocell.errors import AidocellError, InputError, MachineError
from aidocell.files import raise_if_disk_failed

__all__ = ["in_users_terms"]

_TORCH_MEMORY = "DefaultCPUAllocator: can't allocate memory"  # PyTorch raises no MemoryError


def in_users_terms(error: Exception) -> AidocellError | None:
    """The error that stands for a failing disk, too little memory or no permission; None for a bug."""
    if isinstance(error, AidocellError):
        return error
    if isinstance(error, MemoryError) or _TORCH_MEMORY in str(error):
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

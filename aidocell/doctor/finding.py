"""One line of the examination."""

from __future__ import annotations

from dataclasses import dataclass

from aidocell.errors import AidocellError

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes
    ----------
    what
        What was looked at.
    ok
        Whether a run can go on with it.
    detail
        What was found, and what to do about it where it is not well.
    error
        The error that a run would end with, where there is one.
    """

    what: str
    ok: bool
    detail: str
    error: AidocellError | None = None

    @classmethod
    def of(cls, what: str, error: AidocellError) -> Finding:
        """What a run would end with."""
        return cls(what, False, f"{error.what}; {error.fix}", error)

    def line(self) -> str:
        """For a person to read."""
        return f"{'ok  ' if self.ok else 'FAIL'} {self.what}: {self.detail}"

    def plain(self) -> dict[str, str | bool]:
        """For a machine to read."""
        return {"what": self.what, "ok": self.ok, "detail": self.detail}

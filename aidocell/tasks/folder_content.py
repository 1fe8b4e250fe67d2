"""``classifier.json`` of a folder that came from a stranger, and the errors about such folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aidocell.errors import InputError
from aidocell.provenance import run_key

__all__ = ["FolderKind"]


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder, in the words of its errors.

    Attributes
    ----------
    what, short
        Its name, for instance ``fine-tuned network`` and ``network``.
    again
        How one gets it anew.
    given
        What to give where another folder was given.
    largest
        Bytes of ``classifier.json``, far above those of any real one.
    """

    what: str
    short: str
    again: str
    given: str
    largest: int

    def read_content(
        self,
        folder: Path,
        *,
        require_format: Callable[[Any, Path], None],
        require_sense: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        """``classifier.json``, checked against its checksum, which is left out.

        Parameters
        ----------
        require_format
            Refuses what is of another kind or version.
        require_sense
            Raises `ValueError` for content that makes no sense.

        Raises
        ------
        InputError
            ``E_FILE_MISSING``, ``E_FILE_FORMAT``, ``E_FILE_DAMAGED``, ``E_MODEL_HASH``.
        """
        path = folder / "classifier.json"
        if not folder.exists():
            raise InputError("E_FILE_MISSING", f"{folder} does not exist", fix="check the path")
        if not path.is_file():
            raise self.refused(folder, "it has no classifier.json")
        if path.stat().st_size > self.largest:
            raise self.damaged(folder, "classifier.json is too large")
        try:
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
            require_format(content, folder)
            require_sense(content)
            expected = content.pop("content_sha256")
            found = run_key(**content)
        except (ValueError, TypeError, RecursionError) as error:
            raise self.damaged(folder, f"classifier.json: {error}") from error
        self.require_hash(expected, found, path)
        return content

    def require_hash(self, expected: str, found: str, path: Path) -> None:
        """Refuse a file that is not what was recorded (``E_MODEL_HASH``)."""
        if expected != found:
            raise InputError(
                "E_MODEL_HASH",
                f"{path} is not what was recorded when the {self.short} was written",
                fix=f"fetch the folder again, or {self.again}",
            )

    def refused(self, folder: Path, why: str) -> InputError:
        """``E_FILE_FORMAT``: a folder of another kind."""
        return InputError("E_FILE_FORMAT", f"{folder} is no {self.what}: {why}", fix=self.given)

    def damaged(self, folder: Path, why: str) -> InputError:
        """``E_FILE_DAMAGED``: content that makes no sense."""
        return InputError(
            "E_FILE_DAMAGED",
            f"the {self.what} {folder} is damaged: {why}",
            fix=f"fetch the folder again, or {self.again}",
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")

"""The list of bad input: each case makes its files and says which error they deserve."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from aidocell.cli import main
from aidocell.errors import InputError, MachineError

__all__ = ["CASES", "Case", "Outcome", "bad", "command", "run", "run_command"]


@dataclass(frozen=True)
class Case:
    """Bad input of one kind.

    Attributes
    ----------
    make
        Writes the files into an empty folder; gives the INPUT of ``align``, a list of INPUT and
        options, the words of another command, or a function to call.
    id, says
        The error, and what its line must say: the thing, its place or the option that fixes it.
    """

    name: str
    id: str
    says: tuple[str, ...]
    make: Callable[[Path], object]

    @property
    def status(self) -> int:
        machine = ("E_DISK_FULL", "E_GPU_MEMORY", "E_LOCKED", "E_MEMORY")
        return 3 if self.id in machine else 2


@dataclass(frozen=True)
class Outcome:
    """How a command ended; `left` is what it left in the folder of its output."""

    status: int
    stderr: str
    left: list[str]

    @property
    def line(self) -> str:
        return self.stderr.rstrip("\n").rpartition("\n")[2]


CASES: list[Case] = []


class Words(list):
    """The words of a whole command, without ``aidocell``."""


def command(*words: object) -> Words:
    return Words(map(str, words))


def bad(id: str, *says: str, name: str = "") -> Callable:
    """Put a function that makes bad input on the list; its name is the case's."""

    def add(make: Callable[[Path], object]) -> Callable:
        title = name or make.__name__.strip("_").replace("_", " ")
        if any(case.name == title for case in CASES):
            raise ValueError(f"two cases are named '{title}'")
        CASES.append(Case(title, id, says, make))
        return make

    return add


def words_of(made: object, folder: Path) -> list[str]:
    """The command that meets what a case made; its output would be in ``out``."""
    if isinstance(made, Words):
        return list(made)
    words = [str(word) for word in (made if isinstance(made, list) else [made])]
    return ["align", *words, "--output", str(folder / "out" / "counts.zarr.zip")]


def run(case: Case, folder: Path) -> Outcome:
    """Make the files of a case, and meet them in this process."""
    (folder / "out").mkdir()
    made = case.make(folder)
    before = _names(folder)
    status, stderr = _call(made) if callable(made) else run_command(words_of(made, folder))
    return Outcome(status, stderr, sorted(_names(folder) - before))


def run_command(words: list[str]) -> tuple[int, str]:
    """Exit status and stderr of ``aidocell`` with these words, as in a process of its own."""
    stderr, handlers = io.StringIO(), logging.root.handlers[:]
    with (
        patch.object(sys, "argv", ["aidocell", *words]),
        redirect_stdout(io.StringIO()),
        redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), stderr.getvalue()
        finally:
            logging.root.handlers[:] = handlers
    raise AssertionError("main() always exits")


def _call(function: Callable[[], object]) -> tuple[int, str]:
    """As a command of the workflow's rules would report it."""
    try:
        function()
    except (InputError, MachineError) as error:
        return error.exit_status, f"{error}\n"
    return 0, ""


def _names(folder: Path) -> set[str]:
    return {str(part.relative_to(folder)) for part in folder.rglob("*")}

"""Every error a user can meet, with its id.

An error is one line: what is wrong, where, and how to fix it. Its id is stable, so that scripts
and guides can rely on it. :data:`CATALOGUE` is the whole list; an id that is not in it cannot
be raised.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["CATALOGUE", "AidocellError", "InputError", "MachineError", "first_few", "printable"]

CATALOGUE = {
    # files and matrices
    "E_USAGE": "a wrong or missing option or argument",
    "E_FILE_MISSING": "a path that does not exist or cannot be read",
    "E_FILE_FORMAT": "not a count matrix in a known format",
    "E_FILE_LINK": "links inside a file that lead out of it",
    "E_FILE_DAMAGED": "a truncated or corrupted file",
    "E_LAYER_MISSING": "a layer that the file does not have",
    "E_MATRIX_SHAPE": "matrix, cells and genes disagree",
    "E_MATRIX_TYPE": "a matrix that does not hold numbers",
    "E_FEATURES": "no gene expression features",
    "E_GENE_COLUMN": "a gene id column that the file does not have",
    "E_NO_CELLS": "no cells, or none left after QC",
    "E_NO_GENES": "no genes",
    "E_CELL_NAMES": "duplicate or empty cell names",
    "E_NOT_FINITE": "NaN or infinity among the counts",
    "E_NEGATIVE": "counts below zero",
    "E_NOT_COUNTS": "values that are not raw counts",
    "E_UNFILTERED": "droplets before cell calling",
    "E_SPECIES": "genes of another species",
    "E_GENES_UNKNOWN": "too few counts on genes that the model knows",
    "E_EMPTY_CELLS": "cells without a count in the model's genes",
    # configuration, sheet and labels
    "E_CONFIG": "a configuration key or value that is not valid",
    "E_SHEET": "a sample sheet that is not valid",
    "E_SAMPLE_NAME": "a sample name that cannot be a folder name",
    "E_LABEL_MISSING": "no such label column, or no label in it",
    "E_LABEL_CLASSES": "too few classes, or too few cells in one",
    "E_GROUP_LEAK": "the same donor or cell in training and test files",
    # checkpoints and outputs
    "E_MODEL_MISSING": "a checkpoint that cannot be found or fetched",
    "E_MODEL_CONFIG": "a checkpoint that does not fit its configuration",
    "E_MODEL_UNSAFE": "a pickle with anything but tensors, numbers and names in it",
    "E_MODEL_HASH": "weights or genes that are not those recorded",
    "E_STORE_DAMAGED": "an output that is torn or changed",
    "E_STORE_MISMATCH": "outputs of different checkpoints, genes or options",
    "E_OUTPUT_EXISTS": "an output that is already there",
    # the machine
    "E_DISK_FULL": "no space left on a disk",
    "E_DISK_FAILED": "a disk that fails to read or write",
    "E_MEMORY": "the machine's memory is too small for the work",
    "E_GPU_MEMORY": "one cell does not fit in the GPU's memory",
    "E_LOCKED": "another process holds the output",
}


def printable(text: object) -> str:
    """Escape control characters, so that a name from a file stays on one log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are, for a message."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class AidocellError(Exception):
    """An error with an id, a cause and a remedy; ``str()`` gives the line that users see.

    Parameters
    ----------
    id
        A key of :data:`CATALOGUE`.
    what
        What is wrong and where, in the user's terms (file, sample, column, gene).
    fix
        How to put it right, as an instruction.
    """

    exit_status = 1

    def __init__(self, id: str, what: str, *, fix: str) -> None:
        if id not in CATALOGUE:
            raise KeyError(f"{id} is not in the catalogue of errors")
        super().__init__(id, what, fix)
        self.id, self.what, self.fix = id, what, fix

    def __str__(self) -> str:
        return printable(f"error[{self.id}]: {self.what}; {self.fix}")

    def __reduce__(self):
        return _rebuild, (type(self), self.id, self.what, self.fix)


class InputError(AidocellError):
    """The input, configuration, model or usage is not right."""

    exit_status = 2


class MachineError(AidocellError):
    """The machine failed: disk full or broken, GPU out of memory, lock held."""

    exit_status = 3


def _rebuild(cls: type[AidocellError], id: str, what: str, fix: str) -> AidocellError:
    """Let errors cross process borders (pickle cannot pass keyword arguments)."""
    return cls(id, what, fix=fix)

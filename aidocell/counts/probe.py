"""Read a file first in a child process, with limits of time, memory and output.

A broken file can crash or hang the HDF5 library (or a decompressor), or ask for more memory than
there is. The child (:mod:`aidocell.counts.firstread`) opens the file, refuses links that leave it
and reads what a count matrix consists of: tables whole, of each matrix the first 64 MiB and the
end. Only a file that it got through is opened in this process. :mod:`aidocell.counts.limits` has
the limits and their settings.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from aidocell.counts import limits
from aidocell.counts.damage import damaged
from aidocell.counts.formats import Located, locate
from aidocell.errors import InputError

__all__ = ["probe"]

_ALONE = {
    # memory is limited by addresses, which threads reserve in plenty
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # no file may choose a library to load
    "HDF5_PLUGIN_PRELOAD": "::",
}


def probe(path: str | Path) -> Located:
    """Tell what `path` holds, with HDF5 told apart into ``"h5ad"`` and ``"10x-h5"``.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_FILE_FORMAT``, ``E_FILE_LINK``, ``E_FILE_DAMAGED`` or
        ``E_STORE_DAMAGED``.
    """
    located = locate(path)
    answer = _ask_child(located)
    if "error" in answer:
        id, what, fix = answer["error"]
        raise InputError(id, what, fix=fix)
    return Located(located.path, answer["kind"], located.root)


def _command(located: Located) -> list[str]:
    # -P: a module of the user's working folder must not come before an installed one
    program = [sys.executable, "-P", "-m", "aidocell.counts.firstread"]
    return [*program, str(located.path), located.kind, located.root]


def _environment() -> dict[str, str]:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_ALONE, "PYTHONPATH": os.pathsep.join(paths)}


def _ask_child(located: Located) -> dict:
    try:
        status, answer, complaint = limits.run(_command(located), environment=_environment())
    except subprocess.TimeoutExpired as error:
        raise damaged(
            located.path,
            f"reading it took over {limits.most_seconds():g} seconds",
            fix="copy it again; if only the disk is slow, raise AIDOCELL_PROBE_SECONDS",
        ) from error
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        what = f"it was stopped while it was first read (signal {-status})"
        raise damaged(located.path, f"{what}: it takes too much memory or time")
    if status < 0:
        raise damaged(located.path, f"it crashes the library that reads it (signal {-status})")
    if status > 0:
        raise RuntimeError(f"probing {located.path} failed:\n{complaint}")
    return json.loads(answer)

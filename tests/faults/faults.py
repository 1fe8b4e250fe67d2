"""Real processes of ``aidocell`` that are killed, or whose disk fails, at chosen points."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["NEVER", "Faults", "Outcome", "contents", "spread"]

HERE = Path(__file__).parent
NEVER = 2**62


@dataclass(frozen=True)
class Outcome:
    """How a process ended: exit status (negative: the signal), changes of files, stderr."""

    status: int
    changes: int
    seconds: float
    stderr: str

    @property
    def last_line(self) -> str:
        return (self.stderr.splitlines() or [""])[-1]


class Faults:
    """Starts processes under the library of `failwrite.c`; use :meth:`started`."""

    def __init__(self, scratch: Path, server: subprocess.Popen) -> None:
        self._scratch, self._server = scratch, server

    @classmethod
    @contextmanager
    def started(cls, scratch: Path) -> Iterator[Faults]:
        """Compile the library in `scratch` and start the process whose children do the work."""
        library = scratch / "failwrite.so"
        build = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
        subprocess.run([*build, str(HERE / "failwrite.c"), "-ldl"], check=True)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        server = subprocess.Popen(
            [sys.executable, str(HERE / "fork_server.py")],
            env={**os.environ, **threads, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with server:
            yield cls(scratch, server)
            server.stdin.close()

    def run(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        script: Path | None = None,
        fail: Sequence[int] = (NEVER, NEVER),
        error: int = errno.ENOSPC,
        signal: int = 0,
        kill_after: float | Path = 0.0,
        kill_with: int = 0,
        memory: int = 0,
        modules: Sequence[str] = (),
        report_modules: Path | None = None,
    ) -> Outcome:
        """Run ``aidocell`` with `arguments`, or a job's `script`, in `folder`.

        Parameters
        ----------
        fail
            First and last of the changes under `folder` that fail with `error`; with `signal`
            the change before which it is sent.
        kill_after
            Seconds, or the file, after which `kill_with` is sent from outside.
        memory
            Bytes of address space that the process may take beyond what it begins with.
        """
        stderr = self._scratch / "stderr"
        temporary = self._scratch / "temporary"
        temporary.mkdir(exist_ok=True)
        request = {
            "folder": str(folder),
            "arguments": list(arguments),
            "script": script and str(script),
            "first": fail[0],
            "last": fail[1],
            "error": 0 if signal else error,
            "signal": signal,
            "kill_after": kill_after if isinstance(kill_after, float) else str(kill_after),
            "kill_with": kill_with,
            "memory": memory,
            "modules": list(modules),
            "report_modules": report_modules and str(report_modules),
            "stderr": str(stderr),
            "temporary": str(temporary),
        }
        return Outcome(**self._ask(request), stderr=stderr.read_text(errors="replace"))

    def warm_up(self, folder: Path, **what: Any) -> Outcome:
        """Run once and import in the parent what the child imported."""
        report = self._scratch / "modules.json"
        outcome = self.run(folder, report_modules=report, **what)
        modules = json.loads(report.read_text())
        self.run(folder, arguments=["--version"], modules=modules)
        return outcome

    def has_stopped(self) -> bool:
        """Whether the process at work has been stopped, and not yet been told to go on."""
        children = psutil.Process(self._server.pid).children()
        return any(child.status() == psutil.STATUS_STOPPED for child in children)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file in `folder`, hidden ones too, by its path there; folders have none."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "a folder"
        for path in sorted(folder.rglob("*"))
        if ".snakemake" not in path.parts
    }


def spread(number: int, points: int) -> list[int]:
    """`points` whole numbers spread evenly over 1 to `number`, both included."""
    if points >= number:
        return list(range(1, number + 1))
    return sorted({1 + round(i * (number - 1) / max(points - 1, 1)) for i in range(points)})

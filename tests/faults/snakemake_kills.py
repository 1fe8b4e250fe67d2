"""Snakemake killed in the middle of a small study, and the documented restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from faults import contents
from studies import Study

__all__ = ["KilledStudy"]


class KilledStudy:
    """An undisturbed study for comparison, and as many killed ones as are asked for.

    What two undisturbed runs have in common is compared: everything but logs, benchmarks and the
    files that hold times, which are found by running the study twice.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        first, second = self._fresh(), self._fresh()
        first.snakemake()
        second.snakemake()
        whole, again = outputs(first), outputs(second)
        self.varying = sorted({name for name, _ in whole.items() ^ again.items()})
        self.expected = {name: digest for name, digest in whole.items() if name not in self.varying}
        self._logs = len(logs(first))

    def kill_and_recover(self, share: float, number: signal.Signals, target: str) -> list[str]:
        """Kill when `share` of all jobs have begun; names of what differs after the restart.

        Parameters
        ----------
        target
            ``group``: Snakemake and its jobs; ``alone``: Snakemake, whose jobs live on a while.
        """
        study = self._fresh()
        process = subprocess.Popen(
            study.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while len(logs(study)) < share * self._logs and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, "the study was ready before it was killed"
        kill = os.killpg if target == "group" else os.kill
        kill(process.pid, number)
        process.wait()
        left = [p for p in psutil.process_iter(["pid"]) if group_of(p.pid) == process.pid]
        psutil.wait_procs(left, timeout=120)  # jobs that live on end by themselves
        recover = [Path(sys.executable).with_name("aidocell"), "recover", "results", "--wait"]
        done = subprocess.run(recover, cwd=study.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        study.snakemake()
        found = outputs(study)
        differing = {name for name, _ in found.items() ^ self.expected.items()}
        return sorted(differing - set(self.varying))

    def _fresh(self) -> Study:
        self._number += 1
        study = Study(self._folder / f"study{self._number}" / "study")
        study.add_sample("a", cells=40, seed=1)
        study.list_samples("a\ta.h5ad")
        return study


def outputs(study: Study) -> dict[str, str]:
    """Everything in the results but logs and benchmarks, hidden files too."""
    return {
        name: digest
        for name, digest in contents(study.results).items()
        if not name.startswith(("logs", "benchmarks"))
    }


def logs(study: Study) -> list[Path]:
    """Logs of jobs that have begun."""
    return list((study.results / "logs").rglob("*.log"))


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None

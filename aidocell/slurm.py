"""What the Slurm plugin of Snakemake lacks for runs that nobody watches.

The plugin (2.8.0) waits for ever for a job that was preempted with cancellation, that has vanished
from Slurm, that ``sacct`` calls ``CANCELLED by 1000``, or whose state was asked for in vain five
times in a row; and a job that is submitted while the controller restarts has failed. :func:`guard_jobs`
puts a guard between the plugin and Slurm that turns the first three into failures, which Snakemake's
own ``retries`` submit again, and waits out the others. The rules know nothing of it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Any

from aidocell.errors import InputError

__all__ = ["Limits", "StatusGuard", "guard_jobs"]

EXAMINED = ("2.8.0",)
# Slurm either runs such a job again, which shows as PENDING, or never touches it again
LEFT = ("NODE_FAIL", "PREEMPTED", "REVOKED")
LOOKS = 3  # successive answers that agree, before a job is given up
SUBMIT_AGAIN = 30  # seconds
UNREACHABLE = (
    "unable to contact slurm controller",
    "temporarily unable to accept job",
    "standby mode",
    "socket timed out",
    "connection refused",
    "connection reset",
    "zero bytes were transmitted",
)


@dataclass(frozen=True)
class Limits:
    """How long a doubtful state lasts before it is acted on, in seconds."""

    preempted: float = 120
    lost: float = 600
    away: float = 3600

    @classmethod
    def from_environment(cls) -> Limits:
        """Those set as ``AIDOCELL_SLURM_PREEMPTED_SECONDS``, ``_LOST_SECONDS``, ``_AWAY_SECONDS``.

        Raises
        ------
        InputError
            ``E_CONFIG``: one is no number of seconds.
        """
        names = {
            name: f"AIDOCELL_SLURM_{name.upper()}_SECONDS" for name in ("preempted", "lost", "away")
        }
        return cls(**{name: _seconds(key) for name, key in names.items() if key in os.environ})


def _seconds(key: str) -> float:
    given = os.environ[key]
    with suppress(ValueError):
        if 0 <= float(given) < float("inf"):
            return float(given)
    raise InputError(
        "E_CONFIG",
        f"the environment variable {key} is {given!r}",
        fix="set it to a number of seconds",
    )


@dataclass
class _Doubt:
    """A job in a state that may last for ever."""

    state: str | None  # None: Slurm does not know it
    since: float
    looks: int = 0


Answer = tuple[dict[str, str] | None, float | None]


class StatusGuard:
    """Stands between the plugin's query and the plugin.

    Parameters
    ----------
    query
        The plugin's ``query_job_status``: state of each job by its id, and seconds; both None
        where the command failed.
    limits
        When to act.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        query: Callable[[str, Any], Awaitable[Answer]],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._query, self._limits, self._clock = query, limits, clock
        self._awaited: set[str] = set()
        self._doubts: dict[str, _Doubt] = {}
        self._failures = 0

    def expect(self, ids: set[str]) -> None:
        """Say which jobs Snakemake waits for."""
        self._awaited = ids
        self._doubts = {id: doubt for id, doubt in self._doubts.items() if id in ids}

    async def __call__(self, command: str, logger: Any) -> Answer:
        """The plugin's answer, with jobs of which nothing will come any more as ``FAILED``.

        A failed query is an empty answer: to the plugin jobs that it does not name still run,
        while after None it forgets them all and waits for ever.
        """
        states, seconds = await self._query(command, logger)
        if states is None:
            self._tell_failure(command, logger)
            return {}, 0.0
        self._failures = 0
        # sacct writes "CANCELLED by 1000"
        states = {id: state.split()[0] if state else state for id, state in states.items()}
        for id in self._awaited:
            state = states.get(id, states.get(id.partition("_")[0]))
            if self._is_given_up(id, state, logger):
                states[id] = "FAILED"
        return states, seconds

    def _tell_failure(self, command: str, logger: Any) -> None:
        self._failures += 1
        if self._failures % LOOKS == 0:
            logger.warning(
                f"{command.split()[0]} has failed {self._failures} times in a row; the jobs are kept, "
                "and asked about again. If it never works here, set slurm-status-command to another one."
            )

    def _is_given_up(self, id: str, state: str | None, logger: Any) -> bool:
        if state is not None and state not in LEFT:
            self._doubts.pop(id, None)
            return False
        doubt = self._doubts.get(id)
        if doubt is None or doubt.state != state:
            doubt = self._doubts[id] = _Doubt(state, self._clock())
        doubt.looks += 1
        lasted = self._clock() - doubt.since
        limit = self._limits.lost if state is None else self._limits.preempted
        if doubt.looks < LOOKS or lasted < limit:
            return False
        what = "is not known to Slurm any more" if state is None else f"was left {state} by Slurm"
        logger.warning(f"Slurm job {id} {what}, for {lasted:.0f} s: it counts as failed.")
        return True


def guard_jobs() -> None:
    """Put the guard into the plugin, where that is installed.

    Raises
    ------
    InputError
        ``E_CONFIG``: a limit in the environment is no number.
    """
    plugin = sys.modules.get("snakemake_executor_plugin_slurm")
    if plugin is None or plugin.query_job_status.__module__ == __name__:
        return
    found = version("snakemake-executor-plugin-slurm")
    if found not in EXAMINED:
        examined = " or ".join(EXAMINED)
        print(  # noqa: T201
            f"The Slurm plugin {found} is not one that aidocell guards ({examined}): a job that is "
            "preempted with cancellation or vanishes may be waited for without end.",
            file=sys.stderr,
        )
        return
    limits = Limits.from_environment()
    _guard_states(plugin, limits)
    _guard_submission(plugin, limits)


def _guard_states(plugin: ModuleType, limits: Limits) -> None:
    guard = StatusGuard(plugin.query_job_status, limits)
    check = plugin.Executor.check_active_jobs

    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        guard.expect({job.external_jobid for job in active_jobs})
        async for job in check(self, active_jobs):
            yield job

    plugin.query_job_status = guard
    plugin.Executor.check_active_jobs = check_active_jobs


def _guard_submission(plugin: ModuleType, limits: Limits) -> None:
    """Let a job that Slurm cannot be reached for be submitted later, not fail."""
    report_error = plugin.Executor._report_job_error_threadsafe
    report_success = plugin.Executor._report_job_submission_threadsafe
    refused: dict[Any, float] = {}  # job: since when

    def report_or_submit_again(self: Any, job_info: Any, msg: str) -> None:
        job, now = job_info.job, time.monotonic()
        if not _is_unreachable(msg) or now - refused.get(job, now) >= limits.away:
            refused.pop(job, None)
            return report_error(self, job_info, msg)
        if job not in refused:
            refused[job] = now
            self.logger.warning(
                f"Slurm cannot be reached to submit {job}; trying again every {SUBMIT_AGAIN} s."
            )
        # not slept out in the pool's thread, which would hold up the end of a run that is stopped
        timer = threading.Timer(SUBMIT_AGAIN, _submit, (self, job))
        timer.daemon = True
        timer.start()

    def report_submission(self: Any, job_info: Any) -> None:
        refused.pop(job_info.job, None)
        report_success(self, job_info)

    plugin.Executor._report_job_error_threadsafe = report_or_submit_again
    plugin.Executor._report_job_submission_threadsafe = report_submission


def _is_unreachable(message: str) -> bool:
    return any(words in message.lower() for words in UNREACHABLE)


def _submit(executor: Any, job: Any) -> None:
    with suppress(RuntimeError):  # the run was stopped meanwhile
        executor._job_submission_executor.submit(executor.run_job, job)

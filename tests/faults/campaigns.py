"""Many disturbances of one job, spread over its run; each returns how many there were."""

from __future__ import annotations

import errno
import random
from signal import SIGKILL, Signals

from faults import NEVER, Outcome, spread
from jobs import Job

__all__ = ["fail_writes", "kill_at_changes", "kill_at_times"]


def kill_at_changes(job: Job, signal: Signals, points: int) -> int:
    """Send `signal` before each of `points` changes of files, spread over the run."""
    last = job.undisturbed(signal=SIGKILL).changes
    killed = 0
    for change in spread(last, points):
        outcome = job.disturb(signal=signal, fail=(change, change))
        killed += was_killed(outcome, signal)
    return killed


def kill_at_times(job: Job, signal: Signals, points: int) -> int:
    """Send `signal` from outside, at random times of the run."""
    seconds, generator = job.undisturbed().seconds, random.Random(points)
    killed = 0
    while killed < points:
        outcome = job.disturb(kill_after=generator.uniform(0, seconds), kill_with=signal)
        killed += was_killed(outcome, signal)
    return killed


def was_killed(outcome: Outcome, signal: Signals) -> bool:
    """Whether a run ended by `signal`; one that was ready when it came ended well."""
    assert outcome.status in (0, -signal, 128 + signal), f"{outcome.status}: {outcome.stderr}"
    return outcome.status != 0


def fail_writes(job: Job, points: int, *, error: int = errno.ENOSPC, for_good: bool) -> int:
    """Let one change of files fail, or all from there on, at `points` spread over the run."""
    expected = "E_DISK_FAILED" if error == errno.EIO else "E_DISK_FULL"
    failed = 0
    for change in spread(job.undisturbed().changes, points):
        outcome = job.disturb(fail=(change, NEVER if for_good else change), error=error)
        told = f"error[{expected}]: " in outcome.last_line
        harmless = outcome.status == 0  # the log's last line, or what is tried again
        assert harmless or (outcome.status == 3 and told), (
            f"{job.name}, change {change}: status {outcome.status}\n{outcome.stderr}"
        )
        failed += not harmless
    return failed

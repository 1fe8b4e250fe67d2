"""Runs that are killed at points spread over all they write end, restarted, with the same bytes."""

from signal import SIGKILL, SIGTERM

import pytest
from campaigns import kill_at_changes, kill_at_times


@pytest.fixture(params=["embed", "shard"])
def job(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("signal", "points"), [(SIGKILL, 10), (SIGTERM, 4)])
def test_a_run_killed_at_any_change_is_finished_by_the_same_command(job, signal, points):
    assert kill_at_changes(job, signal, points) >= points - 1  # the last change may be too late


def test_a_run_killed_at_any_time_is_finished_by_the_same_command(job):
    assert kill_at_times(job, SIGKILL, 3) == 3


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("signal", "changes", "times"), [(SIGKILL, 80, 20), (SIGTERM, 20, 5)], ids=["KILL", "TERM"]
)
def test_many_kills_of_a_run_cost_nothing_but_time(job, signal, changes, times):
    assert kill_at_changes(job, signal, changes) >= changes - 1
    assert kill_at_times(job, signal, times) == times

"""Two processes at work on one output."""

from concurrent.futures import ThreadPoolExecutor
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
from faults import Faults


@pytest.fixture(scope="session")
def other(tmp_path_factory, faults):
    """A second process that starts others, beside that of `faults`."""
    with Faults.started(tmp_path_factory.mktemp("other")) as started:
        yield started


def while_stopped(job, meanwhile, tmp_path):
    """Stop a run in the middle of its writes, do `meanwhile`, and let it go on to its end."""
    middle = job.undisturbed().changes // 2
    job.reset()
    go_on = tmp_path / "go-on"
    with ThreadPoolExecutor(1) as pool:
        stop = {"signal": SIGSTOP, "fail": (middle, middle)}
        first = pool.submit(job.run, **stop, kill_after=go_on, kill_with=SIGCONT)
        while not job.faults.has_stopped():
            assert not first.done()
        try:
            found = meanwhile()
        finally:
            go_on.touch()
    return first.result(), found


def run_other(job, other, **disturbance):
    return other.run(job.folder, **job.what, **disturbance)


def test_a_second_embed_on_one_output_is_refused_and_the_first_is_whole(embed, other, tmp_path):
    first, second = while_stopped(embed, lambda: run_other(embed, other), tmp_path)
    assert (second.status, first.status) == (3, 0)
    assert second.last_line.startswith("error[E_LOCKED]: process ")
    embed.require_expected("two runs")


def test_two_jobs_of_one_shard_both_end_well_with_the_same_bytes(shard, other, tmp_path):
    first, second = while_stopped(shard, lambda: run_other(shard, other), tmp_path)
    assert (second.status, first.status) == (0, 0), first.stderr
    shard.require_expected("two jobs")


def test_of_two_jobs_of_one_shard_one_may_be_killed(shard, other, tmp_path):
    middle = shard.undisturbed(signal=SIGKILL).changes // 3

    def killed():
        return run_other(shard, other, signal=SIGKILL, fail=(middle, middle))

    first, second = while_stopped(shard, killed, tmp_path)
    assert (second.status, first.status) == (-SIGKILL, 0), first.stderr
    assert shard.run().status == 0  # what the killed one left is deleted by the next
    shard.require_expected("two jobs, one killed")

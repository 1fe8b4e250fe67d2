"""Jobs that get too little memory."""

import pytest

MIB = 2**20


@pytest.fixture(params=["embed", "shard"])
def job(request):
    return request.getfixturevalue(request.param)


def test_too_little_memory_is_told_and_a_restart_with_more_goes_on(job):
    ended = []
    for megabytes in (1, 8, 24, 64):
        outcome = job.disturb(memory=megabytes * MIB)
        ended.append(outcome.status)
        # a library that aborts (negative) is what the system does to a job over its limit, and an
        # alarm what a scheduler does to one that waits for a thread without memory
        assert outcome.status in (0, 3) or outcome.status < 0, outcome.stderr
        # not as the last line: the threads of Zarr's event loop may cry out after it
        assert outcome.status != 3 or "error[E_MEMORY]: " in outcome.stderr, outcome.stderr
    assert ended[0] == 3

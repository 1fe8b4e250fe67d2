"""Writes that fail, one or all from one on: an error that says so, nothing partial, and a restart."""

import errno

import pytest
from campaigns import fail_writes

FOR_GOOD = pytest.mark.parametrize("for_good", [True, False], ids=["from-then-on", "once"])


@FOR_GOOD
def test_a_full_disk_ends_embedding_with_its_error_and_costs_no_work(embed, for_good):
    assert fail_writes(embed, 3, for_good=for_good) >= 2


@FOR_GOOD
def test_a_full_disk_ends_a_shard_s_job_with_its_error_also_where_its_log_is(shard, for_good):
    assert fail_writes(shard, 4, for_good=for_good) >= 2


@pytest.mark.parametrize("error", [errno.EDQUOT, errno.EIO])
def test_other_failures_of_a_disk_are_told_too(shard, error):
    assert fail_writes(shard, 2, error=error, for_good=True) >= 1


def test_a_full_disk_ends_every_command_that_writes_with_its_error(commands):
    for job in commands:
        assert fail_writes(job, 2, for_good=True) >= 1


def test_a_write_that_fails_once_within_hdf5_is_never_passed_over(commands):
    export = next(job for job in commands if job.outputs == ["e.h5ad"])
    assert fail_writes(export, 12, for_good=False) >= 11


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@FOR_GOOD
def test_every_command_survives_writes_that_fail_anywhere(embed, shard, commands, error, for_good):
    for job in (embed, shard, *commands):
        assert fail_writes(job, 12, error=error, for_good=for_good) >= 6


@pytest.mark.long
@pytest.mark.workflow
@pytest.mark.timeout(3000)
@FOR_GOOD
def test_every_rule_s_job_survives_writes_that_fail_anywhere(study_jobs, for_good):
    for job in study_jobs:
        assert fail_writes(job, 6, for_good=for_good) >= 2

"""Snakemake itself killed: `aidocell recover` and the same command finish the study."""

from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from snakemake_kills import KilledStudy

WAYS = [(SIGKILL, "group"), (SIGKILL, "alone"), (SIGTERM, "alone"), (SIGINT, "group")]

pytestmark = [pytest.mark.workflow, pytest.mark.long, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return KilledStudy(tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize(("share", "way"), list(zip((0.15, 0.4, 0.6, 0.85), WAYS, strict=True)))
def test_a_killed_study_is_recovered_with_the_same_bytes(study, share, way):
    assert study.kill_and_recover(share, *way) == []

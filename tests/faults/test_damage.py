"""Flipped bits, cut ends and swapped files, over every kind of output: noticed, and none used."""

import pytest
from whole_study import (
    damages,
    inflict,
    noticed_by_verify,
    outputs,
    readers,
    three_studies,
    used_by,
)

KINDS = 24  # an output that is new belongs in here by itself, one that is gone does not go unseen


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return three_studies(tmp_path_factory.mktemp("studies"))


def test_the_studies_are_whole_and_hold_every_kind_of_output(studies):
    study, others = studies
    for whole in (study, *others.values()):
        assert not noticed_by_verify(whole)
    kinds = {path.name for path in outputs(study) if path.suffix != ".zip"}
    assert len(kinds) >= KINDS - 4


@pytest.mark.parametrize(
    ("flips", "cuts", "number"), [(1, 0, 100), pytest.param(12, 2, 500, marks=pytest.mark.long)]
)
def test_verify_notices_each_damage(studies, flips, cuts, number):
    study, others = studies
    done, missed = 0, []
    for damage in damages(study, others, flips=flips, cuts=cuts):
        mend = inflict(study, damage)
        if not noticed_by_verify(study):
            missed.append(str(damage))
        mend()
        done += 1
    assert done >= number
    assert missed == []
    assert not noticed_by_verify(study)


def refused(studies, tmp_path, *, flips: int, cuts: int, first_sample_alone: bool) -> int:
    """Let the stages read every damage to what they read; how many there were."""
    study, others = studies
    done, used = 0, []
    for damage in damages(study, others, flips=flips, cuts=cuts, seed=1):
        if first_sample_alone and damage.path.startswith("samples/b/"):
            continue
        if not readers(study, damage.path, tmp_path / "scratch"):
            continue
        mend = inflict(study, damage)
        used += [f"{stage} ({damage})" for stage in used_by(study, damage, tmp_path / "scratch")]
        mend()
        done += 1
    assert not used, "; ".join(used)
    return done


def test_no_stage_uses_a_changed_cut_or_swapped_file(studies, tmp_path):
    assert refused(studies, tmp_path, flips=1, cuts=0, first_sample_alone=True) >= 60


@pytest.mark.long
def test_no_stage_uses_any_of_five_hundred_damaged_files(studies, tmp_path):
    assert refused(studies, tmp_path, flips=12, cuts=2, first_sample_alone=False) >= 400

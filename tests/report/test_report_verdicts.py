import pytest

from aidocell.errors import InputError
from aidocell.report.settings import DEFAULT_LIMITS, Limit, ReportSettings
from aidocell.report.verdicts import Figures, judge

GOOD = Figures(cells=2000, median_genes=900, share_resolved=0.96, median_mito=3.0, share_kept=0.95)


def test_a_sample_within_all_limits_passes_without_reasons():
    assert judge(GOOD, DEFAULT_LIMITS).level == "pass"
    assert judge(GOOD, DEFAULT_LIMITS).reasons == ()


def test_the_worst_reason_comes_first_and_decides():
    poor = Figures(cells=300, median_genes=900, share_resolved=0.5, median_mito=12, share_kept=0.9)
    verdict = judge(poor, DEFAULT_LIMITS)
    assert verdict.level == "fail"
    assert verdict.reasons == (
        "50.0 % of the counts placed, below 60.0 %",
        "300 cells kept, below 500",
        "median mitochondrial share 12.0 %, above 10.0 %",
    )


def test_a_figure_on_its_limit_passes():
    limits = {"min_cells": Limit(warn=100), "max_median_mito": Limit(fail=5)}
    assert judge(Figures(cells=100, median_mito=5), limits).level == "pass"


def test_a_figure_that_was_not_computed_is_not_judged():
    assert judge(Figures(), DEFAULT_LIMITS).level == "pass"


def test_a_refused_sample_fails_for_that_reason_alone():
    verdict = judge(Figures(cells=3), DEFAULT_LIMITS, refused="no counts (E_NOT_COUNTS)")
    assert (verdict.level, verdict.reasons) == ("fail", ("refused: no counts (E_NOT_COUNTS)",))


def test_limits_of_the_config_replace_the_defaults_one_by_one():
    settings = ReportSettings.from_config({"verdict": {"min_cells": {"warn": 7}}})
    assert settings.verdict["min_cells"] == Limit(warn=7, fail=None)
    assert settings.verdict["min_share_kept"] == DEFAULT_LIMITS["min_share_kept"]


@pytest.mark.parametrize(
    ("section", "near"),
    [
        ({"titlee": "x"}, "title"),
        ({"verdict": {"min_cell": {}}}, "min_cells"),
        ({"verdict": {"min_cells": {"failed": 3}}}, "fail"),
    ],
)
def test_a_misspelt_key_names_the_nearest_known_one(section, near):
    with pytest.raises(InputError, match="E_CONFIG") as error:
        ReportSettings.from_config(section)
    assert error.value.fix == f"write '{near}'"

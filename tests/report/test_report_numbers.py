import pytest

from aidocell.report import numbers


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.8312, 0.8011, 0.8602, "0.83 (0.80 to 0.86)"),
        (0.8312, 0.8292, 0.8332, "0.831 (0.829 to 0.833)"),
        (0.61, 0.32, 0.88, "0.6 (0.3 to 0.9)"),
        (0.61, 0.45, 0.76, "0.61 (0.45 to 0.76)"),
        (0.83, 0.81, 0.85, "0.83 (0.81 to 0.85)"),
        (0.61, 0.51, 0.71, "0.61 (0.51 to 0.71)"),
        (1.0, 1.0, 1.0, "1.00 (1.00 to 1.00)"),
        (-0.04, -0.06, -0.02, "−0.04 (−0.06 to −0.02)"),
        (0.03, 0.004, 0.06, "0.030 (0.004 to 0.060)"),
    ],
)
def test_digits_follow_the_width_of_the_interval(value, low, high, text):
    assert numbers.interval(value, low, high) == text


def test_thousands_stand_apart():
    assert numbers.count(2638) == "2,638"
    assert numbers.plural(1, "cell") == "1 cell"
    assert numbers.plural(2700, "cell") == "2,700 cells"


def test_a_share_is_never_rounded_to_all_or_nothing():
    assert numbers.share(0.9679) == "96.8 %"
    assert numbers.share(0.99999) == "over 99.9 %"
    assert numbers.share(0.00001) == "under 0.1 %"
    assert numbers.share(1.0) == "100 %"
    assert numbers.share(0.0) == "0 %"


@pytest.mark.parametrize(
    "write", [numbers.count, numbers.share, numbers.duration, numbers.estimate]
)
@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_number_is_a_dash_with_its_reason(write, value):
    text = write(value, why="no <b>label</b>")
    assert "–" in text
    assert "no &lt;b&gt;label&lt;/b&gt;" in text
    assert "<b>" not in text


def test_durations_use_the_two_largest_units():
    assert numbers.duration(4.26) == "4.3 s"
    assert numbers.duration(59.7) == "1 min 0 s"
    assert numbers.duration(200) == "3 min 20 s"
    assert numbers.duration(7500) == "2 h 5 min"

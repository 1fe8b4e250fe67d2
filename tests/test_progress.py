import io
import logging
import sys

import pytest

from aidocell import progress as module
from aidocell.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time stands still until it is set forward."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="aidocell")
    return lambda: caplog.messages


def test_elsewhere_than_on_a_terminal_there_is_a_line_every_half_minute_and_at_the_end(
    clock, lines
):
    with progress("Embedding", 100) as advance:
        for _ in range(10):
            clock(10)
            advance(10)
    assert lines() == [
        "Embedding: 30 of 100 cells, 1 cells/s, 0:01:10 left",
        "Embedding: 60 of 100 cells, 1 cells/s, 0:00:40 left",
        "Embedding: 90 of 100 cells, 1 cells/s, 0:00:10 left",
        "Embedding: 100 of 100 cells, 1 cells/s, 0:00:00 left",
    ]


def test_units_and_long_waits_are_written_out(clock, lines):
    with progress("Reading", 100_000, unit="rows") as advance:
        clock(3600)
        advance(1000)
    assert lines() == ["Reading: 1000 of 100000 rows, 0.278 rows/s, 99:00:00 left"]


def test_what_an_earlier_run_saved_is_counted_and_makes_this_one_no_faster(clock, lines):
    with progress("Embedding", 100) as advance:
        advance(60, saved=True)
        clock(40)
        advance(20)
        clock(40)
        advance(20)
    assert lines() == [
        "Embedding: 80 of 100 cells, 0.5 cells/s, 0:00:40 left",
        "Embedding: 100 of 100 cells, 0.5 cells/s, 0:00:00 left",
    ]


@pytest.mark.parametrize("total", [0, 5])
def test_before_anything_is_done_there_is_nothing_to_say(clock, lines, total):
    with progress("Embedding", total) as advance:
        advance(0)
        clock(31)
        advance(0)
    assert lines() == []


def test_work_in_no_time_at_all_has_a_rate(clock, lines):
    with progress("Embedding", 5) as advance:
        advance(5)
    assert lines()[0].startswith("Embedding: 5 of 5 cells, ")


def test_the_bar_of_a_terminal_shows_rate_and_time_left_and_logs_nothing(monkeypatch, lines):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("Embedding pbmc3k", 4) as advance:
        for _ in range(4):
            advance(1)
    shown = terminal.getvalue()
    assert "Embedding pbmc3k" in shown
    assert "4/4" in shown
    assert "cells/s" in shown
    assert lines() == []


def test_a_failing_body_goes_through(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ZeroDivisionError), progress("Embedding", 4):
        raise ZeroDivisionError

"""When a range is late: numbers in, numbers out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.upload.sharing.latency import ENOUGH, FACTOR, REMEMBERED, LatencyTracker

MIB = 1024 * 1024
LATE_SECONDS = 1.0
SECONDS = st.floats(0.001, 1000)
SIZES = st.integers(1, 1024 * MIB)


def pace(*arrived: tuple[int, float]) -> LatencyTracker:
    made = LatencyTracker(LATE_SECONDS)
    for size, seconds in arrived:
        made.note(size, 0.0, seconds)
    return made


@pytest.mark.parametrize("known", range(ENOUGH))
def test_nothing_is_late_before_enough_is_known(known: int) -> None:
    assert pace(*[(MIB, 1.0)] * known).patience(MIB) is None


def test_late_is_far_longer_than_nine_of_ten_took() -> None:
    seen = pace(*[(MIB, 2.0)] * 9, (MIB, 30.0))
    assert seen.patience(MIB) == 90.0
    seen.note(MIB, 50.0, 52.0)
    assert seen.patience(MIB) == 6.0


def test_what_is_quick_is_not_late_at_once() -> None:
    assert pace(*[(MIB, 0.01)] * ENOUGH).patience(MIB) == LATE_SECONDS


def test_a_larger_range_may_take_as_much_longer() -> None:
    """Where the size follows the link, the next range is twice as large as all that are known."""
    assert pace(*[(MIB, 2.0)] * ENOUGH).patience(8 * MIB) == 48.0


def test_a_smaller_range_may_take_as_long() -> None:
    assert pace(*[(8 * MIB, 2.0)] * ENOUGH).patience(1) == 6.0


def test_what_was_long_ago_is_forgotten() -> None:
    assert pace(*[(MIB, 100.0)] * REMEMBERED, *[(MIB, 1.0)] * REMEMBERED).patience(MIB) == 3.0


def test_who_hangs_is_overtaken_by_those_that_set_out_later() -> None:
    seen = LatencyTracker(LATE_SECONDS)
    for since, now in ((1.0, 9.0), (2.0, 3.0), (3.0, 4.0), (4.0, 9.5)):
        seen.note(MIB, since, now)
    assert [seen.completed_after(since) for since in (0.5, 1.0, 2.5, 4.0)] == [4, 3, 2, 0]


def test_when_it_is_late() -> None:
    seen = pace(*[(MIB, 2.0)] * ENOUGH)
    assert seen.due(MIB, 100.0, 100.25) == 100.0 + LATE_SECONDS, "look again then: nothing is late so soon"
    assert seen.due(MIB, 100.0, 104.0) == seen.due(MIB, 100.0, 106.0) == 106.0
    assert pace((MIB, 2.0)).due(MIB, 100.0, 1100.0) == math.inf


@given(st.floats(0, 1e9), st.floats(0, 10))
def test_who_looks_when_it_is_due_never_has_to_look_at_that_moment_again(since: float, passed: float) -> None:
    """Or a clock that stands still between two looks would stand still for ever."""
    seen, now = pace(*[(MIB, 2.0)] * ENOUGH), since + passed
    while (due := seen.due(MIB, since, now)) > now:
        now = due
    assert now >= since + 6.0


@given(st.lists(st.tuples(SIZES, SECONDS), min_size=ENOUGH, max_size=100), SIZES, SIZES)
def test_more_bytes_never_have_less_time(arrived: list[tuple[int, float]], one: int, other: int) -> None:
    seen = pace(*arrived)
    less, more = seen.patience(min(one, other)), seen.patience(max(one, other))
    assert less is not None
    assert more is not None
    assert LATE_SECONDS <= less <= more


@given(st.lists(SECONDS, min_size=ENOUGH, max_size=REMEMBERED))
def test_at_most_one_in_ten_of_those_that_are_known_would_have_been_late(seconds: list[float]) -> None:
    patience = pace(*((MIB, each) for each in seconds)).patience(MIB)
    assert patience is not None
    assert sum(each * FACTOR > patience for each in seconds) <= len(seconds) / 10

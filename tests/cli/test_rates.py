"""Rates and times left, from made-up snapshots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import UploadProgress
from iqiyi_async.cli.rates import WINDOW, Meter

TOTAL = 100_000_000


def snapshot(sent: int, *, accepted: int = 0, file_id: str = "one") -> UploadProgress:
    return UploadProgress(
        file_id=file_id,
        total=TOTAL,
        sent=sent,
        accepted=accepted,
        chunks_done=0,
        chunks_in_flight=1,
        retries=0,
        elapsed=0.0,
    )


def test_a_steady_upload() -> None:
    meter = Meter()
    for second in range(31):
        meter.update(snapshot(second * 1_000_000), float(second))
    assert meter.rate(30.0) == pytest.approx(1_000_000)
    assert meter.left(30.0) == pytest.approx(70.0)


def test_bytes_of_an_earlier_run_are_no_speed() -> None:
    meter = Meter()
    meter.update(snapshot(80_000_000, accepted=80_000_000), 0.0)
    meter.update(snapshot(81_000_000), 1.0)
    assert meter.rate(1.0) == pytest.approx(1_000_000)


def test_nothing_is_said_of_the_first_moment_or_of_a_trickle() -> None:
    meter = Meter()
    assert meter.rate(0.0) is None
    meter.update(snapshot(0), 0.0)
    meter.update(snapshot(1_000_000), 0.1)
    assert meter.rate(0.1) is None
    meter = Meter()
    meter.update(snapshot(0), 0.0)
    meter.update(snapshot(67), 1.0)
    assert (meter.rate(1.0), meter.left(1.0)) == (None, None)


def test_a_stall_shows() -> None:
    meter = Meter()
    for second in range(11):
        meter.update(snapshot(second * 1_000_000), float(second))
    rates = [meter.rate(now) for now in (10.0, 20.0, 100.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(100_000)


def test_an_upload_that_starts_over_is_measured_anew() -> None:
    meter = Meter()
    meter.update(snapshot(90_000_000), 0.0)
    meter.update(snapshot(0, file_id="two"), 1.0)
    meter.update(snapshot(2_000_000, file_id="two"), 2.0)
    assert meter.rate(2.0) == pytest.approx(2_000_000)


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.integers(0, 1_000_000)), max_size=200))
def test_a_rate_is_never_negative_and_memory_is_bounded(steps: list[tuple[float, int]]) -> None:
    meter, now, sent = Meter(), 0.0, 0
    for pause, more in steps:
        now, sent = now + pause, min(TOTAL, sent + more)
        meter.update(snapshot(sent), now)
        rate = meter.rate(now)
        assert rate is None or rate > 0
        left = meter.left(now)
        assert left is None or left >= 0
    assert len(meter._marks) <= WINDOW / 0.01 + 2

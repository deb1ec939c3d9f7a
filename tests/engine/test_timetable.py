"""Rates and timetables, as they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import ConfigurationError
from iqiyi_async.upload.sharing.timetable import Timetable, parse_rate

DAY = datetime(2026, 5, 4)  # noqa: DTZ001 - the time on the clock on the wall


def at(clock: str) -> datetime:
    hour, minute = clock.split(":")
    return DAY.replace(hour=int(hour), minute=int(minute))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20MB", 20_000_000),
        ("20MiB", 20 * 2**20),
        ("20M", 20 * 2**20),
        ("1.5 mb", 1_500_000),
        ("64KiB", 65536),
        ("64kB", 64000),
        ("4096", 4096),
        ("4096B", 4096),
        ("1GB/s", 10**9),
        (" 10MB ", 10_000_000),
        ("0", 0),
        ("0MB", 0),
        ("off", None),
        ("OFF", None),
    ],
)
def test_rates(text: str, rate: int | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "fast", "-1", "1e6", "10XB", "10 M B", "MB", "0.1B", "9999999TB", "１MB", "1MB/h"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a rate"):
        parse_rate(text)


def test_a_timetable() -> None:
    table = Timetable.parse("08:00-20:00=10MB,else=off")
    assert table.rate_at(at("08:00")) == 10_000_000
    assert table.rate_at(at("19:59")) == 10_000_000
    assert table.rate_at(at("20:00")) is None
    assert table.rate_at(at("07:59")) is None
    assert table.next_change(at("07:00")) == at("08:00")
    assert table.next_change(at("08:00")) == at("20:00")
    assert table.next_change(at("20:00")) == at("08:00") + timedelta(days=1)


def test_a_timetable_may_wrap_midnight() -> None:
    table = Timetable.parse("22:00-06:00=off, else=1MB")
    assert table.rate_at(at("23:00")) is None
    assert table.rate_at(at("05:59")) is None
    assert table.rate_at(at("06:00")) == 1_000_000
    assert table.next_change(at("23:00")) == at("06:00") + timedelta(days=1)


def test_the_end_of_the_day() -> None:
    table = Timetable.parse("20:00-24:00=0")
    assert table.rate_at(at("23:59")) == 0
    assert table.rate_at(at("00:00")) is None
    assert table.next_change(at("21:00")) == DAY + timedelta(days=1)


def test_one_rate_always_holds() -> None:
    for text, rate in (("20MB", 20_000_000), ("off", None), ("0", 0), ("else=3MB", 3_000_000)):
        table = Timetable.parse(text)
        assert table.rate_at(DAY) == rate
        assert table.next_change(DAY) is None


def test_parts_that_meet_with_the_same_rate_are_no_change() -> None:
    table = Timetable.parse("08:00-12:00=1MB,12:00-20:00=1MB,else=2MB")
    assert table.next_change(at("09:00")) == at("20:00")


@pytest.mark.parametrize(
    "text",
    [
        "08:00-20:00=10MB,19:00-21:00=1MB",
        "08:00-20:00=10MB,else=off,else=1MB",
        "22:00-06:00=1MB,05:00-07:00=1MB",
        "08:00-08:00=1MB",
        "24:00-08:00=1MB",
        "08:00-24:01=1MB",
        "08:60-10:00=1MB",
        "25:00-26:00=1MB",
        "morning=1MB",
        "08:00=1MB",
        "08:00-20:00=",
        "08:00-20:00=10MB,",
        "=",
    ],
)
def test_what_is_no_timetable(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Timetable.parse(text)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_moments_of_other_zones_are_taken_in_local_time() -> None:
    table = Timetable.parse("08:00-20:00=10MB")
    summer = datetime(2026, 7, 1, 6, 30, tzinfo=UTC)
    assert table.rate_at(summer) == 10_000_000
    assert table.next_change(summer) == datetime(2026, 7, 1, 18, 0, tzinfo=UTC)


@pytest.mark.usefixtures("berlin")
def test_the_night_that_is_an_hour_shorter() -> None:
    evening = datetime(2026, 3, 28, 21, 0, tzinfo=UTC)
    assert Timetable.parse("08:00-20:00=1MB").next_change(evening) == datetime(2026, 3, 29, 6, 0, tzinfo=UTC)


minutes = st.integers(0, 24 * 60 - 1)


@given(minutes, minutes, st.integers(0, 24 * 60 * 60 - 1))
def test_between_a_moment_and_the_next_change_the_rate_stays(start: int, end: int, second: int) -> None:
    if start == end:
        return
    table = Timetable.parse(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}=1MB,else=2MB")
    moment = DAY + timedelta(seconds=second)
    change = table.next_change(moment)
    assert change is not None
    assert moment < change <= moment + timedelta(days=1)
    assert table.rate_at(change) != table.rate_at(moment)
    assert table.rate_at(change - timedelta(seconds=1)) == table.rate_at(moment)

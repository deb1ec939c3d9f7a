"""Rates as people write them, and rates by the time of day. Pure: the time is the caller's."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

import attrs

from ...errors import ConfigurationError

_UNITS: dict[str, int] = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
    **{letter: 1024**power for power, letter in enumerate("KMGT", 1)},
}
_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,3})(?:/s)?", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})", re.ASCII)
_MOST = 2**50
_DAY = 24 * 60
_HELP = "write it like 08:00-20:00=10MB,else=off"


def parse_rate(text: str) -> int | None:
    """Read a rate: ``20MB`` is 20,000,000 bytes a second, ``20MiB`` and ``20M`` are 20 x 2^20.

    Args:
        text: a number and a unit, perhaps followed by ``/s``; ``off``; or ``0``.

    Returns:
        Bytes a second; None for ``off``, which is no limit; 0 for a pause.

    Raises:
        ConfigurationError: it is none of these.
    """
    words = text.strip()
    if words.lower() == "off":
        return None
    found = _RATE.fullmatch(words)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise ConfigurationError(f"{text!r} is not a rate: write it like 20MB or 4MiB (a second), 0 to pause, or off")
    rate: int = round(float(found[1]) * unit)
    if rate > _MOST or (rate == 0 and float(found[1])):
        raise ConfigurationError(f"{text!r} is not a rate from 1 to {_MOST} bytes a second")
    return rate


@attrs.frozen
class _Span:
    """A part of each day, in minutes from midnight; it wraps midnight if it ends before it begins."""

    start: int
    end: int
    rate: int | None

    @classmethod
    def parse(cls, text: str, rate: int | None) -> _Span:
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"{text!r} is not a time of day from and to: {_HELP}")
        start, end = (_minute(hour, minute) for hour, minute in ((found[1], found[2]), (found[3], found[4])))
        if start in (end, _DAY):
            raise ConfigurationError(f"{text!r} is no part of a day: {_HELP}")
        return cls(start, end, rate)

    def minutes(self) -> set[int]:
        """The minutes of the day that belong to it; the last one does not."""
        if self.start < self.end:
            return set(range(self.start, self.end))
        return {*range(self.start, _DAY), *range(self.end)}


@attrs.frozen
class Timetable:
    """Limits by the time of day, in local time: those of one day, which repeat."""

    _spans: tuple[_Span, ...]
    _otherwise: int | None

    @classmethod
    def parse(cls, text: str) -> Timetable:
        """Read a timetable such as ``08:00-20:00=10MB,else=off``, or one rate that always holds.

        Args:
            text: parts of the day with a rate each (see `parse_rate`), divided by commas. A part may wrap midnight:
                ``22:00-06:00``. ``else`` is the rest of the day, without a limit if it is not named.

        Raises:
            ConfigurationError: it can't be read, or two parts overlap.
        """
        if "=" not in text:
            return cls((), parse_rate(text))
        spans: list[_Span] = []
        otherwise: list[int | None] = []
        for entry in text.split(","):
            when, _, rate = (word.strip() for word in entry.partition("="))
            if when.lower() == "else":
                otherwise.append(parse_rate(rate))
            else:
                spans.append(_Span.parse(when, parse_rate(rate)))
        minutes = [span.minutes() for span in spans]
        if len(otherwise) > 1 or sum(map(len, minutes)) > len(set[int]().union(*minutes)):
            raise ConfigurationError(f"{text!r} says twice what holds at the same time: {_HELP}")
        return cls(tuple(spans), otherwise[0] if otherwise else None)

    def rate_at(self, moment: datetime) -> int | None:
        """The limit at a moment.

        Args:
            moment: in local time if it has no time zone.

        Returns:
            Bytes a second; None is no limit, 0 a pause.
        """
        local = _local(moment)
        return self._rate(local.hour * 60 + local.minute)

    def next_change(self, moment: datetime) -> datetime | None:
        """When the limit is another one than at a moment.

        Args:
            moment: in local time if it has no time zone.

        Returns:
            The first such moment after it, with a time zone if `moment` has one; None if the limit never changes.
        """
        local = _local(moment)
        now = self.rate_at(moment)
        midnight = datetime.combine(local, time())
        minutes = sorted({minute % _DAY for span in self._spans for minute in (span.start, span.end)})
        for day in (0, 1):
            for minute in minutes:
                change = midnight + timedelta(days=day, minutes=minute)
                if change > local and self._rate(minute) != now:
                    return change if moment.tzinfo is None else change.astimezone()
        return None

    def _rate(self, minute: int) -> int | None:
        return next((span.rate for span in self._spans if minute in span.minutes()), self._otherwise)


def _minute(hour: str, minute: str) -> int:
    at = int(hour) * 60 + int(minute)
    if int(minute) > 59 or at > _DAY:
        raise ConfigurationError(f"{hour}:{minute} is not a time of day: {_HELP}")
    return at


def _local(moment: datetime) -> datetime:
    """The same moment on the clock on the wall."""
    return moment if moment.tzinfo is None else moment.astimezone().replace(tzinfo=None)

"""Numbers and names as people read and write them.

What belongs here: pure text. Names come from files and from the service: nothing in them may move a terminal's
cursor.
"""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(I?B)?", re.IGNORECASE)


def clean(text: str) -> str:
    """The text on one line, with everything that does not print written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def parse_size(text: str) -> int:
    """Bytes: ``4MiB``, ``4M`` and ``4096K`` are powers of 1024, ``4MB`` of 1000, ``4194304`` is bytes.

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{clean(text)!r} is not a size such as 4MiB, 512K or 1048576")
    unit = match[2].upper()
    if unit and (match[3] or "").upper() == "B":
        unit += "B"
    value = float(match[1]) * _UNITS[unit] if "." in match[1] else int(match[1]) * _UNITS[unit]
    if value != int(value):
        raise ValueError(f"{clean(text)!r} is not a whole number of bytes")
    return int(value)


def size(count: float) -> str:
    """Bytes for people: 1023 B, 4.0 MiB."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1023.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def sizes(done: float, total: float) -> str:
    """A part of something, in the unit of the whole: 0.5/3.0 MiB."""
    if total < 1024:
        return f"{done:.0f}/{total:.0f} B"
    whole, unit = size(total).split(" ")
    return f"{done / 1024 ** (1 + ('KiB', 'MiB', 'GiB', 'TiB').index(unit)):.1f}/{whole} {unit}"


def span(seconds: float) -> str:
    """A duration for people: 0.4 s, 12 s, 1:02, 1:01:01."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def count(number: int, thing: str) -> str:
    """1 chunk, 2 chunks, 0 retries."""
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing[:-1]}ies" if thing.endswith("y") else f"{number:,} {thing}s"

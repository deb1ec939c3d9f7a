"""Numbers and names as people read and write them. Names come from files and from the service: nothing in them may
move a terminal's cursor."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(I?B)?", re.IGNORECASE)


def clean(text: str, encoding: str = "utf-8") -> str:
    """The text on one line, with everything that does not print, or not in this encoding, written as an escape."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def shorten(text: str, width: int, encoding: str = "utf-8") -> str:
    """The text, clean, in at most so many columns of a terminal."""
    shown = clean(text, encoding)
    if cell_len(shown) <= width:
        return shown
    mark = "…" if clean("…", encoding) == "…" else "~"
    return set_cell_size(shown, max(width - 1, 0)).rstrip() + mark if width > 0 else ""


def padded(text: str, width: int) -> str:
    """The text, followed by spaces up to so many columns of a terminal."""
    return text + " " * max(width - cell_len(text), 0)


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

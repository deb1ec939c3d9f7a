"""How long an mp4 runs: the movie header (ISO/IEC 14496-12, 8.2.2), read without the rest of the file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

#: Reads bytes `first` up to `end` of the file; fewer where it ends.
Read = Callable[[int, int], bytes]

#: Boxes looked at on one level; more make no film, but a loop of empty boxes.
MAX_BOXES = 1000


def duration_of(read: Read, size: int) -> int:
    """Seconds that the video runs, rounded; 0 where the file does not say so. Blocking.

    Args:
        read: gives a range of the file.
        size: bytes of the file.
    """
    for kind, first, end in _boxes(read, 0, size):
        if kind == b"moov":
            for inner, start, _ in _boxes(read, first, end):
                if inner == b"mvhd":
                    return _movie_header(read(start, start + 32))
    return 0


def _boxes(read: Read, first: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: kind, and where the content begins and ends."""
    for _ in range(MAX_BOXES):
        head = read(first, min(first + 16, end))
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        start = first + 8
        if length == 1 and len(head) == 16:
            length, start = struct.unpack_from(">Q", head, 8)[0], first + 16
        stop = end if length == 0 else first + length
        if not start <= stop <= end:
            return
        yield kind, start, stop
        first = stop


def _movie_header(data: bytes) -> int:
    form = ">I8xII" if data[:1] == b"\0" else ">I16xIQ"
    if len(data) < struct.calcsize(form):
        return 0
    _, timescale, duration = struct.unpack_from(form, data)
    return round(duration / timescale) if timescale else 0

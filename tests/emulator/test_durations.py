"""The duration of an mp4, from files that are whole, odd, and none at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.emulator.durations import duration_of


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def duration(data: bytes) -> int:
    return duration_of(lambda first, end: data[first:end], len(data))


SHORT = box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 90_400) + bytes(80))
LONG = box(b"mvhd", b"\1" + bytes(19) + struct.pack(">IQ", 90_000, 90_000 * 5_000_000) + bytes(80))
STILL = box(b"mvhd", bytes(12) + struct.pack(">II", 0, 90_400) + bytes(80))


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (box(b"ftyp", b"isom") + box(b"moov", SHORT), 90),
        (box(b"moov", box(b"udta", b"x" * 9) + LONG), 5_000_000),
        (box(b"mdat", bytes(99)) + box(b"moov", SHORT), 90),
        (struct.pack(">I4sQ", 1, b"mdat", 26) + bytes(10) + box(b"moov", SHORT), 90),
        (struct.pack(">I4s", 0, b"moov") + SHORT, 90),
        (box(b"moov", STILL), 0),
        (box(b"moov", b""), 0),
        (box(b"moov", SHORT)[:30], 0),
        (b"not really a video", 0),
        (b"", 0),
        (bytes(100_000), 0),
    ],
)
def test_durations(data: bytes, seconds: int) -> None:
    assert duration(data) == seconds


@given(st.binary(max_size=200), st.integers(0, 100))
def test_no_bytes_do_harm(noise: bytes, at: int) -> None:
    whole = box(b"ftyp", b"isom") + box(b"moov", SHORT)
    assert duration(noise) >= 0
    assert duration(whole[:at] + noise) >= 0
    assert duration(box(b"moov", noise)) >= 0

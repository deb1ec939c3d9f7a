"""Numbers and names as people read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from iqiyi_async.cli import texts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1048576", 2**20),
        ("512K", 2**19),
        ("512k", 2**19),
        ("512KiB", 2**19),
        ("4MiB", 2**22),
        (" 4 MiB ", 2**22),
        ("4M", 2**22),
        ("4MB", 4_000_000),
        ("1G", 2**30),
        ("1.5MiB", 3 * 2**19),
        ("10B", 10),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    assert words.parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "4 apples", "-4", "0.3", "1.5", "4MiBs", "0x10", "1e6", "four", "4TiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        words.parse_size(text)


@given(st.integers(0, 2**60))
def test_bytes_are_read_as_they_are(count: int) -> None:
    assert words.parse_size(str(count)) == count


@given(st.integers(0, 2**50))
def test_a_shown_size_is_near_the_real_one(count: int) -> None:
    shown = words.size(count)
    number, unit = shown.split(" ")
    assert len(number) <= 6
    factor = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    assert abs(float(number) * factor - count) <= 0.051 * factor


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1:00"), (3599.7, "1:00:00")]
)
def test_spans(seconds: float, expected: str) -> None:
    assert words.span(seconds) == expected


def test_counts() -> None:
    assert [texts.count(n, "retry") for n in (0, 1, 2000)] == ["0 retries", "1 retry", "2,000 retries"]
    assert texts.count(2, "chunk") == "2 chunks"


@given(st.text())
def test_no_name_can_move_the_cursor(text: str) -> None:
    shown = words.clean(text)
    assert shown.isprintable()
    assert not text.isprintable() or shown == text


@given(st.text(), st.integers(1, 40), st.sampled_from(["utf-8", "ascii", "gb18030"]))
def test_a_name_is_cut_to_the_columns_that_it_has(text: str, width: int, encoding: str) -> None:
    shown = words.shorten(text, width, encoding)
    assert cell_len(shown) <= width
    assert shown.encode(encoding).decode(encoding) == shown

"""The map of accepted bytes, against a model that is too simple to be wrong: one number for each byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.emulator.intervals import Interval, IntervalMap

SIZE = 40


@st.composite
def chunks(draw: st.DrawFn) -> tuple[int, int]:
    first = draw(st.integers(0, SIZE - 1))
    return first, draw(st.integers(first + 1, SIZE))


@given(st.lists(chunks(), max_size=30))
def test_the_last_one_accepted_wins_byte_by_byte(accepted: list[tuple[int, int]]) -> None:
    held, model, top = IntervalMap(), [-1] * SIZE, 0
    for first, end in accepted:
        held.add(Interval(first, end, top))
        for byte in range(first, end):
            model[byte] = top + byte - first
        top += end - first
    assert held.covered == sum(place >= 0 for place in model)
    assert held.top <= top
    runs = [byte for byte in range(SIZE) if model[byte] >= 0]
    assert [byte for first, last in held.ranges() for byte in range(first, last + 1)] == runs
    assert all(left[1] + 1 < right[0] for left, right in zip(held.ranges(), held.ranges()[1:], strict=False))
    places = [offset + step for offset, length in held.pieces(0, SIZE) for step in range(length)]
    assert places == [model[byte] for byte in runs]


@given(st.lists(chunks(), max_size=12), chunks())
def test_any_part_can_be_read(accepted: list[tuple[int, int]], part: tuple[int, int]) -> None:
    held, model = IntervalMap(), [-1] * SIZE
    for at, (first, end) in enumerate(accepted):
        held.add(Interval(first, end, at * SIZE))
        model[first:end] = range(at * SIZE, at * SIZE + end - first)
    places = [offset + step for offset, length in held.pieces(*part) for step in range(length)]
    assert places == [place for place in model[part[0] : part[1]] if place >= 0]


def test_a_file_sent_in_order_is_one_interval() -> None:
    held = IntervalMap()
    for first in range(0, 1000, 10):
        held.add(Interval(first, first + 10, first + 7))
    assert list(held) == [Interval(0, 1000, 7)]

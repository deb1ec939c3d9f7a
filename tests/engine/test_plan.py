"""Planning is arithmetic: whatever is accepted already, the rest is covered exactly once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.upload.ranges import Range, covered, gaps, ranges

SIZE = st.integers(1, 300)


@st.composite
def accepted_of(draw: st.DrawFn) -> tuple[int, list[Range]]:
    size = draw(SIZE)
    firsts = draw(st.lists(st.integers(0, size - 1), max_size=12))
    return size, [Range(first, draw(st.integers(1, size - first))) for first in firsts]


@given(accepted_of(), st.integers(1, 320))
def test_what_is_accepted_and_what_is_sent_tile_the_file(case: tuple[int, list[Range]], chunk: int) -> None:
    size, accepted = case
    held = {at for part in accepted for at in range(part.first, part.end)}
    planned = list(ranges(size, chunk, accepted))
    sent = [at for part in planned for at in range(part.first, part.end)]
    assert len(sent) == len(set(sent)), "no byte twice"
    assert not held & set(sent), "nothing that is there already"
    assert held | set(sent) == set(range(size)), "nothing forgotten"
    assert sent == sorted(sent)
    assert all(0 < part.size <= chunk for part in planned)
    assert covered(size, accepted) == len(held)


@given(SIZE, st.integers(1, 320))
def test_without_anything_accepted_only_the_last_chunk_is_short(size: int, chunk: int) -> None:
    planned = list(ranges(size, chunk))
    assert [part.size for part in planned[:-1]] == [chunk] * (len(planned) - 1)
    assert len(planned) == -(-size // chunk)


@given(accepted_of())
def test_gaps_touch_neither_each_other_nor_what_is_there(case: tuple[int, list[Range]]) -> None:
    size, accepted = case
    found = list(gaps(size, accepted))
    assert all(gap.size > 0 for gap in found)
    for before, after in pairwise(found):
        assert before.end < after.first


@given(st.integers(1, 2**53), st.integers(1, 2**30))
def test_planning_a_huge_file_is_lazy(size: int, chunk: int) -> None:
    assert next(ranges(size, chunk)) == Range(0, min(size, chunk))


def test_the_size_of_a_chunk_is_asked_for_before_each() -> None:
    sizes = iter([4, 1, 3, 9])
    planned = ranges(12, lambda: next(sizes), [Range(6, 2)])
    assert list(planned) == [Range(0, 4), Range(4, 1), Range(5, 1), Range(8, 4)]

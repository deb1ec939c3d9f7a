"""How far accepted ranges reach, whatever the order in which they come."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.models import ChunkReceipt
from iqiyi_async.upload.prefix import Prefix

RANGES = st.lists(
    st.builds(
        lambda first, size: ChunkReceipt(first, first + size - 1, "0" * 32, 1), *[st.integers(0, 12), st.integers(1, 4)]
    )
)


def reference(chunks: list[ChunkReceipt]) -> list[ChunkReceipt]:
    known = {chunk.first: chunk for chunk in chunks}
    found: list[ChunkReceipt] = []
    while (chunk := known.get(found[-1].last + 1 if found else 0)) is not None:
        found.append(chunk)
    return found


@given(before=RANGES, after=RANGES)
def test_it_is_what_there_is_without_a_gap(before: list[ChunkReceipt], after: list[ChunkReceipt]) -> None:
    prefix = Prefix(before)
    for count, chunk in enumerate(after, 1):
        prefix.add(chunk)
        expected = reference(before + after[:count])
        assert list(prefix.ranges) == expected
        assert prefix.end == (expected[-1].last + 1 if expected else 0)


def test_one_more_takes_no_longer_with_many_there() -> None:
    chunks = [ChunkReceipt(1000 * place, 1000 * place + 999, "0" * 32, 1) for place in range(20_000)]
    prefix = Prefix()
    began = time.process_time()
    for place, chunk in enumerate(chunks, 1):
        prefix.add(chunk)
        assert prefix.end == 1000 * place
    assert time.process_time() - began < 2

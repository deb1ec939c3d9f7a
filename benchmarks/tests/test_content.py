"""The MD5s that the sink knows are those of the bytes in the files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.content import MIB, NAMES, PERIOD, Content
from benchmarks.stalls import StallPlan

PREPARED = {name: Content(name) for name in NAMES}
for each in PREPARED.values():
    each.prepare()

aligned = st.integers(0, 40).map(lambda blocks: blocks * PERIOD)


@given(
    name=st.sampled_from(NAMES),
    first=st.integers(0, 3 * PERIOD) | aligned,
    length=st.integers(1, 5 * PERIOD) | aligned.filter(bool),
)
def test_md5_is_that_of_the_bytes(name: str, first: int, length: int) -> None:
    content = PREPARED[name]
    data = content.read(first, length)
    assert len(data) == length
    assert content.md5(first, length) == hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("size", [1, PERIOD, MIB + 12345, 3 * MIB])
def test_a_file_reads_as_its_content(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    PREPARED["random"].write(path, size)
    assert path.read_bytes() == PREPARED["random"].read(0, size)


def test_two_places_of_a_block_differ() -> None:
    content = PREPARED["random"]
    assert content.md5(0, 1000) != content.md5(1000, 1000)


@given(every=st.integers(1, 300), seed=st.integers(0, 50))
def test_one_request_of_so_many_stalls(every: int, seed: int) -> None:
    plan = StallPlan(every, seed=seed)
    stalled = [index for index in range(3 * every) if plan.at(index)]
    assert [index // every for index in stalled] == [0, 1, 2]
    assert stalled == [index for index in range(3 * every) if StallPlan(every, seed=seed).at(index)]


def test_both_kinds_of_stall_happen() -> None:
    plan = StallPlan(1)
    assert {plan.at(index) for index in range(50)} == {"body", "answer"}
    assert StallPlan().at(0) is None

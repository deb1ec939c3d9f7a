"""How long the way from a call to the socket is, in frames of this library."""

from __future__ import annotations

import pytest

from tests.figures.frames import FACADE, SESSION, TRANSFER, Write, measure


@pytest.fixture(scope="module")
def writes() -> list[Write]:
    return measure()


def test_a_call_from_the_facade(writes: list[Write]) -> None:
    calls = [write for write in writes if not write.body and not write.of_upload]
    assert any(write.frames[-1].startswith(FACADE) for write in calls)
    for write in calls:
        assert write.depth(FACADE) <= 8, write.frames


def test_every_request_from_the_session(writes: list[Write]) -> None:
    assert len(writes) >= 10
    for write in writes:
        assert write.depth(SESSION) <= 4, write.frames


def test_a_chunk_from_the_transfer(writes: list[Write]) -> None:
    chunks = [write for write in writes if write.body]
    assert len(chunks) == 5
    for write in chunks:
        assert write.depth(TRANSFER) <= 8, write.frames

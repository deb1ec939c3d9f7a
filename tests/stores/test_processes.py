"""Many processes and one store: one renewal for all of them, and no write lost."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from .helpers import child


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "tokens.json") if request.param == "file" else request.getfixturevalue("redis_url")


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest, place: str) -> None:
    if place.startswith("unix:"):
        import redis

        with redis.Redis.from_url(place) as client:
            client.flushall()


def test_eight_processes_renew_once_even_if_tasks_are_cancelled(place: str, tmp_path: Path) -> None:
    log = tmp_path / "renewals"
    with ExitStack() as stack:
        children = [stack.enter_context(child("refresh_once", place, 100, log)) for _ in range(8)]
        for each in children:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in children:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in children:
            _, err = each.communicate(timeout=40)
            assert each.returncode == 0, err
    # One at a time, and after the first that came to its end, which all children saw, nobody began another. One that
    # is cancelled may have written all the same.
    assert re.fullmatch("(began\ncancelled\n)*began\n(cancelled|renewed)\n", log.read_text())


def test_of_the_writes_of_four_processes_none_gets_lost(place: str) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(child("count_up", place, 16)) for _ in range(4)]
        told: list[int] = []
        for each in children:
            out, err = each.communicate(timeout=40)
            assert each.returncode == 0, err
            versions = [int(line) for line in out.split()]
            assert versions == sorted(versions)
            told += versions
    assert len(set(told)) == 64
    assert max(told) - min(told) == 63, "there was a write that nobody was told of"

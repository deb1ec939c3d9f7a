"""The tuner: what it decides from what arrives, on links of every kind, without a clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.config import KIB, MIB
from iqiyi_async.upload.sharing.adaptive import LEAST_CHUNK, MEMORY, MOST_CHUNK, MOST_WORKERS, Tuner


def play(tuner: Tuner, rate_of_all: Callable[[int], float], seconds: float) -> None:
    """Let ranges arrive for a while over a link that brings `rate_of_all(workers)` bytes a second in all."""
    now = 0.0
    while now < seconds:
        size, workers = tuner.chunk_size, tuner.workers
        took = size / (rate_of_all(workers) / workers)
        for _ in range(workers):
            now += took / workers
            tuner.arrived(size, took, now, took)


def test_fixed_numbers_stay_what_they_are() -> None:
    tuner = Tuner(3, 12345)
    play(tuner, lambda workers: 1e6 * workers, 100)
    tuner.trouble()
    assert (tuner.workers, tuner.most_workers, tuner.chunk_size, tuner.explanation) == (3, 3, 12345, "")


def test_a_slow_link_gets_small_chunks_and_few_workers() -> None:
    tuner = Tuner("auto", "auto")
    play(tuner, lambda _: 200 * KIB, 600)
    assert tuner.chunk_size == LEAST_CHUNK
    assert tuner.workers <= 4


def test_the_last_ranges_of_a_large_file_are_small() -> None:
    tuner = Tuner(4, "auto")
    whole, left, sizes = 64 * MIB, 64 * MIB, []
    while left:
        sizes.append(min(left, tuner.next_size(left, whole)))
        left -= sizes[-1]
    assert sizes[0] == tuner.chunk_size
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-2] == LEAST_CHUNK
    # One that fits into the workers is cut into as few as before.
    assert tuner.next_size(2 * MIB, 4 * MIB) == tuner.chunk_size
    assert Tuner(4, 3 * MIB).next_size(5 * MIB, whole) == 3 * MIB


@pytest.mark.parametrize(
    ("least", "round_trip", "per_worker", "in_all"), [(86, 0.1, 2e6, 32e6), (91, 0.02, 10e6, 80e6)]
)
def test_512_mib_over_a_far_link(least: float, round_trip: float, per_worker: float, in_all: float) -> None:
    """Each range costs a round trip besides its bytes; `least` is percent of what 16 connections could bring."""
    tuner = Tuner("auto", "auto")
    whole = left = 512 * MIB
    now, under_way = 2 * round_trip, []
    while left or under_way:
        while left and len(under_way) < tuner.workers:
            size = min(left, tuner.next_size(left, whole))
            left -= size
            took = round_trip + size / min(per_worker, in_all / tuner.workers)
            heapq.heappush(under_way, (now + took, took, size))
        now, took, size = heapq.heappop(under_way)
        tuner.arrived(size, took, now, took)
    assert whole / now / in_all * 100 >= least


def test_a_link_that_is_capped_for_each_connection_gets_every_worker() -> None:
    tuner = Tuner("auto", "auto")
    play(tuner, lambda workers: 2 * MIB * workers, 120)
    assert tuner.workers == MOST_WORKERS
    assert tuner.chunk_size == 4 * MIB
    assert "16 workers" in tuner.explanation
    assert "2.0 MiB/s" in tuner.explanation


def test_a_link_that_is_capped_in_all_does_not_get_more_workers_than_help() -> None:
    tuner = Tuner("auto", "auto")
    play(tuner, lambda workers: min(workers, 4) * 2 * MIB, 120)
    assert tuner.workers in (4, 8)


def test_a_fast_link_gets_large_chunks() -> None:
    tuner = Tuner(4, "auto")
    play(tuner, lambda workers: 100 * MIB * workers, 30)
    assert tuner.chunk_size == MOST_CHUNK


def test_a_rate_that_is_not_known_yet_is_not_told() -> None:
    tuner = Tuner("auto", "auto")
    tuner.arrived(MIB, 0.5, 0.5, 0.5)
    assert tuner.explanation == "8 workers; chunks of 1 MiB, at 2.0 MiB/s for each worker"


def test_trouble_makes_both_smaller() -> None:
    tuner = Tuner("auto", "auto")
    play(tuner, lambda workers: 2 * MIB * workers, 120)
    workers, chunk = tuner.workers, tuner.chunk_size
    tuner.trouble()
    assert tuner.workers == workers // 2
    assert tuner.chunk_size == chunk // 2


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.integers(1, MOST_CHUNK), st.floats(0, 1e4), st.floats(0, 1e6))), max_size=200
    )
)
def test_whatever_arrives_the_bounds_hold(events: list[tuple[int, float, float] | None]) -> None:
    tuner = Tuner("auto", "auto")
    now = 0.0
    for event in events:
        if event is None:
            tuner.trouble()
        else:
            size, took, pause = event
            now += pause
            tuner.arrived(size, took, now, took)
        assert 1 <= tuner.workers <= tuner.most_workers
        assert LEAST_CHUNK <= tuner.chunk_size <= MOST_CHUNK
        assert tuner.most_workers * tuner.chunk_size <= MEMORY

"""The tuner: what it decides from what arrives, on links of every kind, without a clock."""

from __future__ import annotations

from collections.abc import Callable

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
            tuner.arrived(size, took, now)


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
            tuner.arrived(size, took, now)
        assert 1 <= tuner.workers <= tuner.most_workers
        assert LEAST_CHUNK <= tuner.chunk_size <= MOST_CHUNK
        assert tuner.most_workers * tuner.chunk_size <= MEMORY

"""When to try again, as arithmetic: bounds of the waits, counts, the budget. Time stands still; chance is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import RetryPolicy, ServiceUnavailableError, TransportError, VideoCloudError
from iqiyi_async._retry import Retries

pytestmark = pytest.mark.anyio


def down() -> ServiceUnavailableError:
    return ServiceUnavailableError("down", code="HTTP 503")


@pytest.fixture
def waits() -> list[float]:
    """The waits that were asked for; none of them takes time."""
    return []


def retries(waits: list[float], policy: RetryPolicy, random: Callable[[], float] = lambda: 0.5) -> Retries:
    async def at_once(seconds: float) -> None:
        waits.append(seconds)

    return Retries(policy, random, at_once)


class Failing:
    """Something that fails so often before it succeeds."""

    def __init__(self, times: int, error: Callable[[], Exception] = down) -> None:
        self.times = times
        self.calls = 0
        self._error = error

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self._error()
        return "done"


async def test_waits_double_up_to_their_bound(waits: list[float]) -> None:
    policy = RetryPolicy(initial_backoff=0.5, max_backoff=4, max_attempts=8)
    assert await retries(waits, policy, lambda: 1.0).run(Failing(7)) == "done"
    assert waits == [0.5, 1, 2, 4, 4, 4, 4]


async def test_waits_are_spread_over_their_whole_bound(waits: list[float]) -> None:
    chances: Iterator[float] = iter([0.0, 0.25, 0.999])
    await retries(waits, RetryPolicy(initial_backoff=1), lambda: next(chances)).run(Failing(3))
    assert waits == [0, 0.5, pytest.approx(3.996)]


@pytest.mark.parametrize(
    ("asked", "cap", "chance", "waited"),
    [(3.0, 120, 0.0, 3.0), (3.0, 120, 1.0, 3.3), (10**9, 120, 0.0, 120), (5.0, 0, 0.5, 0)],
)
async def test_what_the_service_asks_for(
    waits: list[float], asked: float, cap: float, chance: float, waited: float
) -> None:
    def error() -> Exception:
        return ServiceUnavailableError("busy", code="HTTP 503", retry_after=asked)

    policy = RetryPolicy(retry_after_cap=cap)
    await retries(waits, policy, lambda: chance).run(Failing(1, error))
    assert waits == [pytest.approx(waited)]


async def test_moment_that_has_passed_is_no_reason_to_hammer(waits: list[float]) -> None:
    """`Retry-After: 0`, or a date that a wrong clock takes for the past, asks for no wait; the usual one is kept."""

    def error() -> Exception:
        return ServiceUnavailableError("busy", code="HTTP 503", retry_after=0.0)

    await retries(waits, RetryPolicy(initial_backoff=1), lambda: 0.5).run(Failing(3, error))
    assert waits == [0.5, 1, 2]


async def test_attempts_are_counted_and_the_last_error_leaves(waits: list[float]) -> None:
    errors = [TransportError(str(number), sent=True) for number in range(20)]
    work = Failing(20, lambda: errors[work.calls - 1])
    with pytest.raises(TransportError, match=r"^4$"):
        await retries(waits, RetryPolicy(max_attempts=5)).run(work)
    assert work.calls == 5


@pytest.mark.parametrize("times", [1, 5])
async def test_permanent_errors_leave_at_once(waits: list[float], times: int) -> None:
    work = Failing(times, lambda: VideoCloudError("no"))
    with pytest.raises(VideoCloudError, match="no"):
        await retries(waits, RetryPolicy()).run(work)
    assert (work.calls, waits) == (1, [])


async def test_mistakes_are_not_repeated(waits: list[float]) -> None:
    work = Failing(1, lambda: ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        await retries(waits, RetryPolicy()).run(work)
    assert work.calls == 1


async def test_transient_then_permanent(waits: list[float]) -> None:
    work = Failing(9, lambda: down() if work.calls < 3 else VideoCloudError("no"))
    with pytest.raises(VideoCloudError, match="no"):
        await retries(waits, RetryPolicy()).run(work)
    assert work.calls == 3


async def test_progress_starts_the_count_anew(waits: list[float]) -> None:
    done = 0

    async def work() -> None:
        nonlocal done
        calls.append(done)
        done += len(calls) % 3 == 0
        raise down()

    calls: list[int] = []
    with pytest.raises(ServiceUnavailableError):
        await retries(waits, RetryPolicy(max_attempts=3, budget=30)).run(work, progress=lambda: done)
    assert len(calls) > 3, "the others got on, so this one goes on trying"
    assert len(calls) <= 31, "but not beyond the budget"


async def test_budget_bounds_what_an_outage_costs(waits: list[float]) -> None:
    """Everybody's repetitions together: the budget, and a tenth of what succeeds."""
    all_retries = retries(waits, RetryPolicy(max_attempts=8, budget=20))
    calls = 0
    for _ in range(300):
        work = Failing(99)
        with pytest.raises(ServiceUnavailableError):
            await all_retries.run(work)
        calls += work.calls
    assert calls == 300 + 20
    for _ in range(51):
        await all_retries.run(Failing(0))
    work = Failing(99)
    with pytest.raises(ServiceUnavailableError):
        await all_retries.run(work)
    assert work.calls == 1 + 5, "some fifty successes have earned five repetitions"


async def test_budget_never_grows_beyond_its_size(waits: list[float]) -> None:
    all_retries = retries(waits, RetryPolicy(max_attempts=100, budget=3))
    for _ in range(100):
        await all_retries.run(Failing(0))
    work = Failing(99)
    with pytest.raises(ServiceUnavailableError):
        await all_retries.run(work)
    assert work.calls == 1 + 3


@pytest.mark.parametrize("policy", [RetryPolicy(max_attempts=1), RetryPolicy(budget=0)])
async def test_never_again(waits: list[float], policy: RetryPolicy) -> None:
    work = Failing(1)
    with pytest.raises(ServiceUnavailableError):
        await retries(waits, policy).run(work)
    assert (work.calls, waits) == (1, [])


async def test_listener_hears_of_what_will_be_repeated_only(waits: list[float]) -> None:
    heard: list[tuple[str, float]] = []
    with pytest.raises(ServiceUnavailableError):
        await retries(waits, RetryPolicy(max_attempts=3, initial_backoff=1), lambda: 1.0).run(
            Failing(9), on_retry=lambda error, wait: heard.append((str(error), wait))
        )
    assert heard == [("down", 1), ("down", 2)]


@given(st.integers(1, 200), st.floats(0, 0.999), st.floats(0, 100), st.floats(0, 1000))
def test_no_wait_leaves_its_bounds(repetition: int, chance: float, initial: float, most: float) -> None:
    policy = RetryPolicy(initial_backoff=initial, max_backoff=most)
    wait = Retries(policy, lambda: chance)._wait(down(), repetition)
    assert 0 <= wait <= min(most, initial * 2.0 ** min(repetition - 1, 1000))

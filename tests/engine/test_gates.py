"""The gates of an outage, step by step on a clock that does not run by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from iqiyi_async import RetryPolicy, ServiceUnavailableError, TransportError, VideoCloudError
from iqiyi_async._outage import Caller, Gate, GateClosedError, Outage

from ..simulation.clock import VirtualLoop

POLICY = RetryPolicy(initial_backoff=1.0, max_backoff=8.0)


def down() -> ServiceUnavailableError:
    return ServiceUnavailableError("get_status: busy", code="HTTP 503")


def run(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())  # type: ignore[arg-type]


def shut(gate: Gate, *names: str) -> None:
    for name in names or ("a", "b", "c"):
        gate.failed(Caller(600), [name], down())


async def passing(gate: Gate, order: list[str], name: str, *, repeatable: bool = True, patience: float = 600) -> Caller:
    """One caller's way through a gate."""
    caller = Caller(patience)
    while True:
        try:
            gate.admit(caller, "get_status", repeatable)
        except GateClosedError:
            await gate.wait(caller, "get_status", repeatable)
        else:
            order.append(name)
            return caller


def test_it_closes_after_three_different_calls_in_a_row() -> None:
    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate, "a", "a", "a", "b")
        assert not gate.closed, "one upload that fails is no outage"
        gate.succeeded(None)
        shut(gate, "a", "b")
        assert not gate.closed
        shut(gate, "c")
        assert gate.closed

    run(work)


def test_what_may_be_about_single_requests_counts_as_their_attempts() -> None:
    """A request that fails whenever it is sent holds up nothing for ever."""

    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        for name in "abc":
            gate.failed(Caller(600), [name], down(), certain=False)
        assert gate.closed

        order: list[str] = []
        poison = await passing(gate, order, "poison")
        gate.failed(poison, ["poison"], down(), certain=False)
        assert not poison.excused()
        assert gate.closed

        gate.succeeded(await passing(gate, order, "other"))
        gate.failed(await passing(gate, order, "poison"), ["poison"], down(), certain=False)
        assert not gate.closed, "others go on"

    run(work)


def test_probes_go_one_by_one_ever_less_often() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate)
        times: list[float] = []
        order: list[str] = []
        tasks = [asyncio.ensure_future(passing(gate, order, str(number))) for number in range(12)]
        for number in range(6):
            while len(order) <= number:
                await asyncio.sleep(0.125)
            times.append(loop.time())
            assert len(order) == number + 1, "one probe at a time"
            gate.failed(tasks[number].result(), ["x"], down())
            assert tasks[number].result().excused(), "a failed probe counts for nothing"
        assert order == [str(number) for number in range(6)], "the oldest first"
        assert [round(after - before) for before, after in pairwise(times)] == [2, 4, 8, 8, 8]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(work)


def test_it_opens_for_one_two_four() -> None:
    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate)
        order: list[str] = []
        tasks = [asyncio.ensure_future(passing(gate, order, str(number))) for number in range(40)]
        await asyncio.sleep(1.1)
        assert len(order) == 1
        seen = [1]
        answered = 0
        while answered < 40:
            batch = [task.result() for task in tasks[answered : len(order)]]
            answered = len(order)
            for caller in batch:
                gate.succeeded(caller)
            await asyncio.sleep(0.01)
            seen.append(len(order) - answered)
        assert seen[:5] == [1, 1, 2, 4, 8]
        assert gate.unused
        await asyncio.gather(*tasks)

    run(work)


def test_what_may_not_be_repeated_is_no_probe_while_others_wait() -> None:
    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate)
        order: list[str] = []
        tasks = [
            asyncio.ensure_future(passing(gate, order, "finish", repeatable=False)),
            asyncio.ensure_future(passing(gate, order, "status")),
        ]
        await asyncio.sleep(1.5)
        assert order == ["status"]
        gate.succeeded(tasks[1].result())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == ["status", "finish"]
        await asyncio.gather(*tasks)

    run(work)


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate)
        order: list[str] = []
        tasks = [asyncio.ensure_future(passing(gate, order, str(number))) for number in range(2)]
        await asyncio.sleep(1.5)
        assert order == ["0"]
        tasks[0].result().leave()
        await asyncio.sleep(0.1)
        assert order == ["0", "1"]
        tasks[1].result().leave()

    run(work)


@pytest.mark.parametrize("kind", [ServiceUnavailableError, TransportError])
def test_patience_counts_from_when_one_began_to_wait(kind: type[VideoCloudError]) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(POLICY, lambda: 1.0)
        error = down() if kind is ServiceUnavailableError else TransportError("refused", sent=False)
        for name in "abc":
            gate.failed(Caller(600), [name], error)
        began = loop.time()
        caller = Caller(10.0)
        with pytest.raises(kind) as caught:
            while True:
                try:
                    gate.admit(caller, "list_videos", True)
                except GateClosedError:
                    await gate.wait(caller, "list_videos", True)
                else:
                    gate.failed(caller, ["x"], error)
        assert 10 <= loop.time() - began < 10.5
        assert caught.value.operation == "list_videos"
        assert caught.value.exhausted
        assert caught.value.retryable

    run(work)


def test_hosts_of_ranges_have_gates_of_their_own() -> None:
    async def work() -> None:
        outage = Outage(frozenset({"http://api:80"}), POLICY, lambda: 1.0)
        for number in range(2):
            shut(outage.gate(f"http://host{number}:80"))
        assert not outage.down
        assert outage.is_down("http://host0:80")
        assert not outage.is_down("http://host9:80")
        await asyncio.sleep(1)
        shut(outage.gate("http://host2:80"))
        assert outage.down, "three within ten seconds, and none up"

    run(work)


def test_hosts_that_go_down_while_others_are_up_are_not_the_service() -> None:
    async def work() -> None:
        outage = Outage(frozenset({"http://api:80"}), POLICY, lambda: 1.0)
        for number in range(6):
            shut(outage.gate(f"http://host{number}:80"))
            outage.left("http://fine:80", answered=True)
        assert not outage.down

    run(work)


def test_hosts_that_are_fine_are_forgotten() -> None:
    async def work() -> None:
        outage = Outage(frozenset(), POLICY, lambda: 1.0)
        for number in range(1000):
            gate = outage.gate(f"http://10.0.0.{number}:80")
            gate.succeeded(None)
            outage.left(f"http://10.0.0.{number}:80", answered=True)
        assert not outage._hosts

    run(work)


def test_a_turn_that_nobody_uses_is_lost() -> None:
    """A range whose source is slow must not hold up everybody."""

    async def slow(gate: Gate) -> None:
        caller = Caller(600)
        await gate.wait(caller, "upload_chunk", True)
        await asyncio.sleep(100)
        with pytest.raises(GateClosedError):
            gate.admit(caller, "upload_chunk", True)

    async def work() -> None:
        gate = Gate(POLICY, lambda: 1.0)
        shut(gate)
        order: list[str] = []
        first = asyncio.ensure_future(slow(gate))
        await asyncio.sleep(0)
        task = asyncio.ensure_future(passing(gate, order, "other"))
        await asyncio.sleep(3)
        assert not order
        await asyncio.sleep(5)
        assert order == ["other"]
        await first
        (await task).leave()

    run(work)

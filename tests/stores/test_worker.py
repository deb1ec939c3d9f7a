"""A job in a thread is done wholly or not at all, whatever becomes of who asked for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import ANY

import anyio
import pytest

from iqiyi_async.stores._worker import BackgroundThread, Batches, Job, settle

from .helpers import said_by

pytestmark = pytest.mark.anyio


class Gate:
    """A job that waits until it is let through, and remembers that it has ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started = threading.Event()
        self.open = threading.Event()
        self.ended = False
        self._error = error

    def __call__(self) -> str:
        self.started.set()
        assert self.open.wait(10)
        self.ended = True
        if self._error is not None:
            raise self._error
        return "done"

    async def inside(self) -> None:
        await asyncio.to_thread(self.started.wait, 10)


async def test_a_job_gives_its_result_or_its_error() -> None:
    worker = BackgroundThread("test")
    assert await worker.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await worker.finish(lambda: 1 // 0)
    assert await worker.finish(lambda: 8) == 8


async def test_jobs_share_one_thread_and_follow_each_other() -> None:
    worker, order = BackgroundThread("test"), []
    threads = await asyncio.gather(*(worker.run(partial(_note, order, number)) for number in range(20)))
    assert order == list(range(20))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_who_is_cancelled_waits_for_the_job_that_has_started() -> None:
    worker, gate = BackgroundThread("test"), Gate()
    task = asyncio.create_task(worker.run(gate))
    await gate.inside()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done(), "gone while its job was running"
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.ended


async def test_a_scope_that_ends_waits_too_without_spinning() -> None:
    worker, gate = BackgroundThread("test"), Gate()
    steps = 0

    async def count() -> None:
        nonlocal steps
        while not gate.ended:
            await asyncio.sleep(0)
            steps += 1

    async with anyio.create_task_group() as group:
        group.start_soon(worker.run, gate)
        await gate.inside()
        group.cancel_scope.cancel()
        gate_opener = asyncio.get_running_loop().call_later(0.05, gate.open.set)
    assert gate.ended
    gate_opener.cancel()
    await asyncio.wait_for(count(), 5)
    assert steps <= 1


async def test_a_job_whose_turn_has_not_come_is_dropped_with_its_caller() -> None:
    worker, first, second = BackgroundThread("test"), Gate(), Gate()
    running = asyncio.create_task(worker.run(first))
    await first.inside()
    waiting = asyncio.create_task(worker.run(second))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled(), "waited for a job that had not begun"
    first.open.set()
    assert await running == "done"
    await worker.run(lambda: None)
    assert not second.started.is_set()


async def test_finishing_is_not_dropped_even_if_its_turn_has_not_come() -> None:
    worker, first, second = BackgroundThread("test"), Gate(), Gate()
    second.open.set()
    running = asyncio.create_task(worker.run(first))
    await first.inside()
    waiting = asyncio.create_task(worker.finish(second))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    first.open.set()
    await asyncio.wait([running, waiting], timeout=5)
    assert waiting.cancelled()
    assert second.ended


async def test_the_error_of_a_job_that_nobody_waits_for_is_no_complaint_of_the_loop() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    worker, gate = BackgroundThread("test"), Gate(OSError("disk full"))
    task = asyncio.create_task(worker.run(gate))
    await gate.inside()
    task.cancel()
    gate.open.set()
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints


async def test_settling_raises_only_the_cancellation_of_the_waiter() -> None:
    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    failing = asyncio.create_task(fails())
    await settle(failing)
    assert failing.done()
    sleeping = asyncio.create_task(asyncio.sleep(100))
    sleeping.cancel()
    await settle(sleeping)
    assert sleeping.cancelled()


async def test_a_worker_that_was_stopped_starts_again() -> None:
    worker = BackgroundThread("test")
    worker.stop()
    first = await worker.run(threading.current_thread)
    worker.stop()
    await asyncio.to_thread(first.join, 5)
    assert not first.is_alive()
    assert await worker.run(threading.current_thread) is not first


def test_a_worker_serves_one_event_loop_after_the_other() -> None:
    worker = BackgroundThread("test")
    threads = {asyncio.run(worker.run(threading.get_ident)) for _ in range(3)}
    assert len(threads) == 1


async def test_stores_go_on_in_a_forked_process(tmp_path) -> None:
    assert (await asyncio.to_thread(said_by, "fork", tmp_path)).strip() == "[2, 3]"


def _note(order: list[int], number: int) -> int:
    order.append(number)
    return threading.get_ident()


class Commits:
    """What a connection would do: jobs by batch; the first batch is held until `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[str]] = []
        self.thread = BackgroundThread("test-batches")
        self.jobs: Batches[list[str]] = Batches(self.thread, self._commit)

    def _commit(self, jobs: list[Job[list[str]]]) -> None:
        self.begun.set()
        assert self.go.wait(10)
        done: list[str] = []
        for job in jobs:
            job.do(done)
        self.batches.append(done)

    async def write(self, word: str) -> str:
        def work(done: list[str]) -> str:
            done.append(word)
            return word

        return await self.jobs.run(work)


async def until_begun(commits: Commits) -> None:
    while not commits.begun.is_set():
        await asyncio.sleep(0.001)


async def test_what_comes_during_a_batch_goes_into_the_next() -> None:
    commits = Commits()
    first = asyncio.create_task(commits.write("a"))
    await until_begun(commits)
    others = [asyncio.create_task(commits.write(word)) for word in "bcd"]
    await asyncio.sleep(0)
    others[1].cancel()
    await asyncio.sleep(0)
    commits.go.set()
    assert await first == "a"
    assert await asyncio.gather(*others, return_exceptions=True) == ["b", ANY, "d"]
    # One that was cancelled before its turn is never begun.
    assert others[1].cancelled()
    assert commits.batches == [["a"], ["b", "d"]]
    commits.thread.stop()


async def test_a_job_that_has_begun_is_waited_for() -> None:
    commits = Commits()
    task = asyncio.create_task(commits.write("a"))
    await until_begun(commits)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    commits.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert commits.batches == [["a"]]
    commits.thread.stop()


def test_batches_serve_several_event_loops_at_once() -> None:
    commits = Commits()
    commits.go.set()

    async def both() -> list[str]:
        return await asyncio.gather(*[commits.write(str(number)) for number in range(50)])

    with ThreadPoolExecutor(3) as threads:
        told = [threads.submit(asyncio.run, both()) for _ in range(3)]
        assert [each.result(10) for each in told] == [[str(number) for number in range(50)]] * 3
    assert sum(map(len, commits.batches)) == 150
    commits.thread.stop()


async def test_a_whole_job_is_done_although_its_caller_was_cancelled_before_its_turn() -> None:
    commits = Commits()
    first = asyncio.create_task(commits.write("a"))
    await until_begun(commits)
    second = asyncio.create_task(commits.jobs.run(lambda done: done.append("b"), whole=True))
    await asyncio.sleep(0)
    for _ in range(2):
        second.cancel()
        await asyncio.sleep(0.01)
        assert not second.done(), "gone before its job was done"
    commits.go.set()
    assert await first == "a"
    await asyncio.wait([second])
    assert second.cancelled()
    assert commits.batches == [["a"], ["b"]]
    commits.thread.stop()


def test_a_loop_that_stops_before_its_batch_began_keeps_no_other_waiting() -> None:
    commits = Commits()
    commits.go.set()
    stopped = asyncio.new_event_loop()

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        loop.stop()
        await commits.write("lost")

    left = stopped.create_task(leave())
    stopped.run_forever()
    assert asyncio.run(asyncio.wait_for(commits.write("a"), 5)) == "a"
    left.cancel()
    stopped.run_until_complete(asyncio.wait([left]))
    stopped.close()
    commits.thread.stop()

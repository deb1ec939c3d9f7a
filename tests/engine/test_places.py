"""Places that tasks wait for, of workers, of memory and of open files: whatever is cancelled, none gets lost."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iqiyi_async import UploadError, UploadOptions
from iqiyi_async._fair_queue import Turn
from iqiyi_async.upload.reading.gathering import Gathering
from iqiyi_async.upload.reading.memory import StreamMemory
from iqiyi_async.upload.reading.open_files import LEAST_FILES, MOST_FILES, OpenFiles, default_limit
from iqiyi_async.upload.reading.resources import SourceResources
from iqiyi_async.upload.sharing.workers import WorkerPool

from .tools import in_time, open_paths

pytestmark = pytest.mark.anyio

TURN = Turn(None, 0)
KIB = 1024


async def begun(*tasks: asyncio.Task[None]) -> None:
    """Let tasks run until they wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    """Wait for tasks that have been cancelled."""
    await in_time(asyncio.wait(tasks))
    assert all(task.cancelled() for task in tasks)


# Workers


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_worker_whose_turn_comes_as_its_task_is_cancelled(cancelled_first: bool) -> None:
    pool = WorkerPool(UploadOptions(max_workers=1))
    pool.join()
    worker = await pool.acquire(TURN, 1)
    waiting = asyncio.create_task(_acquire(pool))
    await begun(waiting)
    if cancelled_first:
        waiting.cancel()
        pool.release(worker)
    else:
        pool.release(worker)
        waiting.cancel()
    await cancelled(waiting)
    assert pool.busy == 0
    pool.release(await in_time(pool.acquire(TURN, 1)))
    await pool.leave()


async def _acquire(pool: WorkerPool) -> None:
    await pool.acquire(TURN, 1)


# Memory


class Stream:
    """One that holds memory, and sends what it has when it is asked to."""

    def __init__(self, memory: StreamMemory) -> None:
        self._memory = memory
        self.held = 0

    async def take(self, size: int) -> None:
        self.held = await self._memory.take(self, TURN, size)

    def flush(self) -> None:
        """Nothing has come yet."""


@pytest.mark.parametrize("cancelled_first", [True, False])
@pytest.mark.parametrize("whole_range", [True, False])
async def test_memory_that_is_granted_as_its_task_is_cancelled(cancelled_first: bool, whole_range: bool) -> None:
    memory = StreamMemory(64 * KIB, lambda: 0)
    await memory.reserve(TURN, 64 * KIB)
    stream = Stream(memory)
    waiting = asyncio.create_task(memory.reserve(TURN, 32 * KIB) if whole_range else stream.take(32 * KIB))
    await begun(waiting)
    if cancelled_first:
        waiting.cancel()
        memory.release(64 * KIB)
    else:
        memory.release(64 * KIB)
        waiting.cancel()
    await cancelled(waiting)
    memory.drop(stream)
    assert memory.used == 0
    await in_time(memory.reserve(TURN, 64 * KIB))


@pytest.mark.parametrize("whole_range", [True, False])
async def test_a_cancelled_wait_for_memory_makes_way_for_the_next(whole_range: bool) -> None:
    """The first in the queue wants more room than there is; behind it waits one that wants less."""
    memory = StreamMemory(64 * KIB, lambda: 0)
    await memory.reserve(TURN, 56 * KIB)
    large = asyncio.create_task(memory.reserve(TURN, 60 * KIB) if whole_range else Stream(memory).take(60 * KIB))
    await begun(large)
    small = asyncio.create_task(memory.reserve(TURN, 8 * KIB))
    await begun(large, small)
    large.cancel()
    await in_time(small)
    await cancelled(large)
    assert memory.used == 64 * KIB


async def test_a_stream_that_is_cancelled_and_withdraws() -> None:
    memory = StreamMemory(64 * KIB, lambda: 0)
    await memory.reserve(TURN, 64 * KIB)
    stream = Stream(memory)
    waiting = asyncio.create_task(stream.take(KIB))
    await begun(waiting)
    waiting.cancel()
    memory.withdraw(stream)
    await cancelled(waiting)
    memory.withdraw(stream)
    memory.release(64 * KIB)
    assert memory.used == 0


async def test_memory_that_was_given_back_before_its_task_is_cancelled() -> None:
    memory = StreamMemory(64 * KIB, lambda: 0)
    await memory.reserve(TURN, 64 * KIB)
    stream = Stream(memory)
    waiting = asyncio.create_task(stream.take(32 * KIB))
    await begun(waiting)
    memory.release(64 * KIB)
    memory.drop(stream)
    waiting.cancel()
    await cancelled(waiting)
    assert memory.used == 0


async def test_what_a_gateway_has_gathered_is_thrown_away() -> None:
    sent: list[bytes] = []
    memory = StreamMemory(64 * KIB, lambda: 0)
    gathering = Gathering(
        memory, TURN, 100, most=lambda: 50, flush_after=60.0, send=lambda view: sent.append(bytes(view))
    )
    await gathering.room()
    await gathering.write(memoryview(bytes(70)))
    assert sent == [bytes(50)]
    gathering.drop()
    memory.release(50)
    assert memory.used == 0
    assert sent == [bytes(50)]


# Open files


class Holder:
    """One that holds a file open."""

    def __init__(self, path: Path | None = None, *, in_use: bool = False, needed: bool = True) -> None:
        self.file = None if path is None else os.open(path, os.O_RDONLY)
        self.in_use = in_use
        self.needed = needed

    def give_up(self) -> int | None:
        file, self.file = self.file, None
        return file


@pytest.fixture
async def resources() -> AsyncIterator[SourceResources]:
    made = SourceResources(UploadOptions(max_open_files=1, source_timeout=0.2))
    yield made
    await made.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"a film")
    return path


@pytest.mark.parametrize("now", [True, False])
async def test_a_cancelled_wait_for_a_file_leaves_no_trace(resources: SourceResources, now: bool) -> None:
    files, reading = resources.files, Holder(in_use=True)
    await files.enter(reading, TURN)
    waiting = asyncio.create_task(files.enter(Holder(), TURN, now=now))
    await begun(waiting)
    waiting.cancel()
    await cancelled(waiting)
    files.leave(reading)
    assert len(files) == 0
    files.leave(reading)
    await in_time(files.enter(Holder(), TURN))


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_file_whose_place_is_given_as_the_waiting_task_is_cancelled(
    resources: SourceResources, path: Path, cancelled_first: bool
) -> None:
    """Its descriptor is closed, and the place is there for the next."""
    files, resting = resources.files, Holder(path, in_use=True, needed=False)
    await files.enter(resting, TURN)
    waiting = asyncio.create_task(files.enter(Holder(), TURN))
    await begun(waiting)
    resting.in_use = False
    if cancelled_first:
        waiting.cancel()
        files.rest(resting)
    else:
        files.rest(resting)
        waiting.cancel()
    await cancelled(waiting)
    assert len(files) == 0
    await resources.opening.finish(lambda: None)
    assert str(path) not in open_paths()


async def test_a_worker_that_comes_to_wait_takes_the_place_of_a_file_at_rest(
    resources: SourceResources, path: Path
) -> None:
    files, resting, wanted = resources.files, Holder(path), Holder()
    await files.enter(resting, TURN)
    waiting = asyncio.create_task(files.enter(wanted, TURN))
    await begun(waiting)
    files.hurry(Holder())
    await begun(waiting)
    files.hurry(wanted)
    await in_time(waiting)
    assert len(files) == 1
    assert resting.file is None
    assert str(path) not in open_paths()


def _no_descriptor() -> int:
    raise OSError(errno.EMFILE, "Too many open files")


async def test_a_process_without_descriptors_closes_a_file_at_rest(resources: SourceResources, path: Path) -> None:
    files, resting = resources.files, Holder(path)
    await files.enter(resting, TURN)

    def open_it() -> int:
        return _no_descriptor() if resting.file is not None else os.open(path, os.O_RDONLY)

    os.close(await in_time(files.open(open_it, os.close)))
    assert len(files) == 0


async def test_a_process_without_descriptors_is_waited_for_but_not_forever(resources: SourceResources) -> None:
    with pytest.raises(UploadError, match=r"no free file descriptor for 0\.2 s: raise its limit") as caught:
        await in_time(resources.files.open(_no_descriptor, os.close))
    assert caught.value.retryable


async def test_another_failure_to_open_is_raised_at_once(resources: SourceResources, tmp_path: Path) -> None:
    files: OpenFiles = resources.files
    with pytest.raises(FileNotFoundError):
        await in_time(files.open(lambda: os.open(tmp_path / "gone", os.O_RDONLY), os.close))


def test_the_limit_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for soft, limit in ((16, LEAST_FILES), (1024, 256), (10**6, MOST_FILES), (resource.RLIM_INFINITY, MOST_FILES)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert default_limit() == limit
    # Windows has no such module.
    monkeypatch.setitem(sys.modules, "resource", None)
    assert default_limit() == MOST_FILES // 4

"""What the tests run in processes of their own: `python -m tests.stores.children NAME ARGUMENT...`."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

from iqiyi_async.models import ChunkReceipt
from iqiyi_async.stores import FileTokenStore, Fingerprint, JournalEntry, SqliteJournal, TokenStore

from .helpers import KEY, shown, token

ENTRY = JournalEntry("file-1", "http://127.0.0.1/upload", Fingerprint(100_000, 20, 30, "digest"))


def store_at(place: str) -> TokenStore:
    if place.startswith("unix:"):
        from iqiyi_async.stores import RedisTokenStore

        return RedisTokenStore(place, prefix="test-processes:")
    return FileTokenStore(place)


def say(text: object) -> None:
    print(text, flush=True)  # noqa: T201 - how a child speaks to its parent


async def hold(place: str, ttl: str) -> None:
    """Hold a lease until killed."""
    async with store_at(place).lease(KEY, ttl=float(ttl)):
        say("held")
        await asyncio.Event().wait()


async def refresh_once(place: str, tasks: str, log: str) -> None:
    """Many tasks that find no token; whoever renews it says in a log when that begins and how it ends.

    A third of them are cancelled, at moments when they may be waiting, renewing or done.
    """
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    store = store_at(place)

    async def need() -> None:
        if await store.load(KEY) is not None:
            return
        async with store.lease(KEY, ttl=30):
            if await store.load(KEY) is not None:
                return
            _mark(log, "began")
            try:
                await asyncio.sleep(0.1)
                assert await store.compare_and_set(KEY, None, token()) is not None
            except asyncio.CancelledError:
                _mark(log, "cancelled")
                raise
            _mark(log, "renewed")

    async def need_or_not(number: int) -> None:
        task = asyncio.create_task(need())
        if number % 3 == 2:
            await asyncio.sleep(0.003 * number)
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    await asyncio.gather(*(need_or_not(number) for number in range(int(tasks))))
    assert await store.load(KEY) is not None
    await _close(store)


async def count_up(place: str, times: str) -> None:
    """Write a number of times, whatever others write; tell the version of each write."""
    store = store_at(place)
    for number in range(int(times)):
        written = None
        while written is None:
            found = await store.load(KEY)
            written = await store.compare_and_set(KEY, found.version if found else None, token(number))
        say(written.version)
    await _close(store)


async def write_without_end(place: str) -> None:
    """Write tokens until killed; tell each version that is certain."""
    store = store_at(place)
    found = await store.load(KEY)
    while True:
        found = await store.compare_and_set(KEY, found.version if found else None, token())
        assert found is not None
        say(found.version)


async def token_file_full(place: str) -> None:
    """Write a token that the disk has no room for, and show the error as the most talkative tool would."""
    import resource  # not on every system

    store = FileTokenStore(place)
    first = await store.compare_and_set(KEY, None, token(1))
    assert first is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        await store.compare_and_set(KEY, first.version, token(2))
    except OSError as error:
        say(shown(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await store.load(KEY) == first
    assert await store.compare_and_set(KEY, first.version, token(3)) is not None


async def journal_full(place: str) -> None:
    """Record until the disk is full, see that what was told is there, and go on when there is room again."""
    import resource  # not on every system

    journal = SqliteJournal(place)
    fence = await begun(journal)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    told = 0
    try:
        while told < 10_000:
            await journal.record(KEY, fence, ChunkReceipt(told, told, "0" * 32))
            told += 1
    except OSError as error:
        say(error)
    assert 0 < told < 10_000
    entry = await journal.load(KEY)
    assert entry is not None
    assert [each.first for each in entry.accepted] == list(range(told))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await journal.record(KEY, fence, ChunkReceipt(told, told, "0" * 32))
    entry = await journal.load(KEY)
    assert entry is not None
    assert len(entry.accepted) == told + 1
    await journal.aclose()


async def begun(journal: SqliteJournal) -> int:
    """Begin an upload under a claim: the fence."""
    fence = await journal.acquire(KEY, "the child", 3600)
    assert fence is not None
    assert await journal.begin(KEY, fence, ENTRY)
    return fence


async def record_from(place: str, fence: str, first: str, times: str = "1000000") -> None:
    """Record ranges of one byte under a claim of the parent's; tell each when it is written."""
    journal = SqliteJournal(place)
    for number in range(int(first), int(first) + int(times)):
        assert await journal.record(KEY, int(fence), ChunkReceipt(number, number, "0" * 32))
        say(number)
    await journal.aclose()


async def record_in_postgres(dsn: str, fence: str, first: str, times: str = "1000000") -> None:
    """The same in PostgreSQL."""
    from iqiyi_async.stores import PostgresJournal

    async with PostgresJournal(dsn) as journal:
        for number in range(int(first), int(first) + int(times)):
            assert await journal.record(KEY, int(fence), ChunkReceipt(number, number, "0" * 32))
            say(number)


async def upload_with_postgres(dsn: str, url: str, path: str, key: str) -> None:
    """Upload a file, until killed."""
    from iqiyi_async.stores import PostgresJournal

    from ..engine.tools import NAME, cloud

    async with PostgresJournal(dsn) as journal, cloud(url, journal=journal, lease_seconds=1.0) as client:
        await client.upload(path, NAME, key=key)


def fork_with_postgres(dsn: str) -> None:
    """Use a journal, fork, and use it on both sides."""
    from iqiyi_async.stores import PostgresJournal

    journal = PostgresJournal(dsn)

    async def use(name: str) -> None:
        fence = await journal.acquire(name, name, 3600)
        assert fence is not None
        assert await journal.begin(name, fence, ENTRY)
        await journal.aclose()
        say(name)

    async def both() -> None:
        await journal.acquire(KEY, "parent", 3600)
        pid = os.fork()
        if pid == 0:
            # The parent's loop is of no use here.
            asyncio._set_running_loop(None)
            try:
                asyncio.run(use("child"))
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        await use("parent")

    warnings.simplefilter("ignore", DeprecationWarning)  # as below
    asyncio.run(both())


def fork(folder: str) -> None:
    """Use stores, fork, and use them on both sides."""
    store, journal = FileTokenStore(Path(folder, "tokens.json")), SqliteJournal(Path(folder, "uploads.db"))
    fences: list[int] = []

    async def before() -> None:
        await store.compare_and_set(KEY, None, token(1))
        fences.append(await begun(journal))

    async def after(number: int) -> None:
        async with store.lease(KEY, ttl=30):
            found = await store.load(KEY)
            assert found is not None
            assert await store.compare_and_set(KEY, found.version, token(number)) is not None
        assert await journal.record(KEY, fences[0], ChunkReceipt(number, number, "0" * 32))

    async def ended() -> None:
        entry = await journal.load(KEY)
        say(sorted(each.first for each in entry.accepted) if entry else None)
        await journal.aclose()

    asyncio.run(before())
    assert threading.active_count() > 1
    warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of a fork beside threads, as is meant here
    pid = os.fork()
    if pid == 0:
        asyncio.run(after(2))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    asyncio.run(after(3))
    asyncio.run(ended())


async def _close(store: TokenStore) -> None:
    close: Callable[[], Awaitable[None]] | None = getattr(store, "aclose", None)
    if close is not None:
        await close()


def _mark(log: str, what: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{what}\n")


if __name__ == "__main__":
    work = globals()[sys.argv[1]]
    if inspect.iscoroutinefunction(work):
        asyncio.run(work(*sys.argv[2:]))
    else:
        work(*sys.argv[2:])

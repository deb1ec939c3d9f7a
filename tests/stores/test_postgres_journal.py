"""The journal in PostgreSQL: servers that are away or refuse, tables, machines that share it, and what errors show."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")

from iqiyi_async import ConfigurationError, PostgresJournal, UploadError
from iqiyi_async.emulator import EmulatorConfig, Fault, FaultPlan, ThreadedEmulatorServer
from iqiyi_async.models import ChunkReceipt, Phase
from iqiyi_async.stores import _postgres_tables as tables
from iqiyi_async.stores.gateway import GatewayRecord
from iqiyi_async.testing.journals import ENTRY, chunk

from ..batch.postgres import LOCKED, Postgres, running
from ..engine.tools import NAME, cloud, content
from .helpers import KEY, ROOT, SECRET, child, shown

pytestmark = pytest.mark.anyio

LONG = 300.0


@pytest.fixture
async def journal(database: str) -> AsyncIterator[PostgresJournal]:
    async with PostgresJournal(database) as journal:
        yield journal


@pytest.fixture
def emulator() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server:
        yield server


async def begun(journal: PostgresJournal) -> int:
    fence = await journal.acquire(KEY, "one", LONG)
    assert fence is not None
    assert await journal.begin(KEY, fence, ENTRY)
    return fence


async def ranges(journal: PostgresJournal) -> tuple[ChunkReceipt, ...]:
    entry = await journal.load(KEY)
    assert entry is not None
    return entry.accepted


# What is given


@pytest.mark.parametrize("dsn", [None, "", 7, "mysql://localhost/x", "sqlite:///x", "localhost"])
def test_what_is_no_url_is_refused_at_once(dsn: Any) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user@host/database"):
        PostgresJournal(dsn)


@pytest.mark.parametrize("dsn", [f"postgresql://u:{SECRET}#x@127.0.0.1/y", f"postgresql://u@127.0.0.1:{SECRET}/y"])
async def test_a_url_that_cannot_be_read_is_not_shown(dsn: str) -> None:
    journal = PostgresJournal(dsn)
    del dsn
    assert repr(journal) == "<PostgresJournal>"
    with pytest.raises((ConfigurationError, OSError)) as caught:
        await journal.load(KEY)
    assert SECRET not in shown(caught.value)


async def test_a_server_that_is_away_is_an_error_at_once_that_shows_no_password() -> None:
    journal = PostgresJournal(f"postgresql://me:{SECRET}word@127.0.0.1:9/films")
    began = time.monotonic()
    with pytest.raises(OSError, match=r"can't be reached.*is the server running") as caught:
        await journal.load(KEY)
    assert time.monotonic() - began < 5
    assert SECRET not in shown(caught.value)
    await journal.aclose()


async def test_a_wrong_password_is_told_and_not_shown(postgres: Postgres, database: str) -> None:
    await asyncio.to_thread(postgres.sql, f"CREATE ROLE {LOCKED} LOGIN PASSWORD 'right'")
    journal = PostgresJournal(database.replace("postgres@", f"{LOCKED}:{SECRET}word@"))
    with pytest.raises(OSError, match=f'password authentication failed for user "{LOCKED}".*check the user') as caught:
        await journal.load(KEY)
    assert SECRET not in shown(caught.value)
    await journal.aclose()
    await asyncio.to_thread(postgres.sql, f"DROP ROLE {LOCKED}")


async def test_a_database_that_is_not_there_is_told(postgres: Postgres) -> None:
    journal = PostgresJournal(postgres.url_of("nowhere"))
    with pytest.raises(OSError, match='database "nowhere" does not exist'):
        await journal.load(KEY)
    await journal.aclose()


def test_without_the_library_the_extra_is_named_and_the_package_is_whole() -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = sys.modules['redis'] = None\n"
        "from iqiyi_async import *\n"
        "import iqiyi_async, iqiyi_async.stores, pydoc\n"
        "assert hasattr(iqiyi_async, 'PostgresJournal') and hasattr(iqiyi_async.stores, 'RedisTokenStore')\n"
        "assert 'class PostgresJournal' in pydoc.render_doc(iqiyi_async.PostgresJournal, renderer=pydoc.plaintext)\n"
        "pydoc.render_doc(iqiyi_async)\n"
        "try:\n    PostgresJournal('postgresql://localhost/x')\n"
        "except ImportError as e:\n    print(e)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False)
    assert done.stdout.strip() == "PostgresJournal needs asyncpg: pip install 'iqiyi-async[postgres]'", done.stderr


# Tables


async def test_many_that_begin_at_once_make_the_tables_once(database: str) -> None:
    journals = [PostgresJournal(database) for _ in range(8)]
    assert await asyncio.gather(*(each.load(KEY) for each in journals)) == [None] * 8
    for each in journals:
        await each.aclose()


async def test_tables_of_a_later_release_are_left_alone(postgres: Postgres, database: str) -> None:
    async with PostgresJournal(database) as journal:
        await begun(journal)
    await asyncio.to_thread(postgres.sql, "UPDATE iqiyi_journal SET version = 9", database)
    async with PostgresJournal(database) as journal:
        with pytest.raises(ConfigurationError, match=r"have version 9.*install a later release"):
            await journal.load(KEY)
    assert await asyncio.to_thread(postgres.sql, "SELECT count(*) FROM iqiyi_journal_upload", database) == "1\n"


async def test_a_user_who_may_only_read_and_write_finds_the_tables(postgres: Postgres, database: str) -> None:
    name = f"writer_{random.randrange(10**9)}"
    writer = database.replace("postgres@", f"{name}@")
    await asyncio.to_thread(postgres.sql, f"CREATE ROLE {name} LOGIN")
    await asyncio.to_thread(postgres.sql, "REVOKE CREATE ON SCHEMA public FROM public", database)
    async with PostgresJournal(writer) as journal:
        with pytest.raises(OSError, match="permission denied for schema public"):
            await journal.load(KEY)
    async with PostgresJournal(database) as journal:
        await journal.load(KEY)
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"
    await asyncio.to_thread(postgres.sql, grant, database)
    async with PostgresJournal(writer) as journal:
        fence = await begun(journal)
        assert await journal.record(KEY, fence, chunk(0, 9))
    await asyncio.to_thread(postgres.sql, f"DROP OWNED BY {name}; DROP ROLE {name}", database)


async def test_old_rows_go_in_small_lots(
    postgres: Postgres, database: str, journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iqiyi_async.stores.postgres.LOT", 3)
    monkeypatch.setattr("iqiyi_async.stores.postgres.EVERY", 2)
    for number in range(7):
        fence = await journal.acquire(f"{number}", "one", LONG)
        assert fence is not None
        await journal.begin(f"{number}", fence, attrs.evolve(ENTRY, accepted=(chunk(0, 9),)))
        await journal.advance(f"{number}", fence, Phase.SENDING if number == 6 else Phase.FINISHED)
    old = (
        "UPDATE iqiyi_journal_upload SET changed = changed - remember - 1;"
        " UPDATE iqiyi_journal_lease SET expires = expires - interval '2 days'"
    )
    await asyncio.to_thread(postgres.sql, old, database)
    count = (
        "SELECT (SELECT count(*) FROM iqiyi_journal_upload WHERE phase = 'finished'),"
        " (SELECT count(*) FROM iqiyi_journal_lease WHERE expires < now()), (SELECT count(*) FROM iqiyi_journal_range)"
    )
    left = []
    for _ in range(6):
        await begun(journal)
        left.append(await asyncio.to_thread(postgres.sql, count, database))
    assert left[0] != left[1] or left[1] != left[2]
    assert left[-1] == "0|0|1\n", left


async def test_a_key_of_an_old_lease_gets_a_greater_fence_when_the_clock_was_ahead(
    postgres: Postgres, database: str, journal: PostgresJournal
) -> None:
    fence = await begun(journal)
    await journal.release(KEY, fence)
    await asyncio.to_thread(postgres.sql, "UPDATE iqiyi_journal_lease SET fence = fence + 10^12", database)
    later = await journal.acquire(KEY, "two", LONG)
    assert later == fence + 10**12 + 1


async def test_rows_that_cannot_be_right_count_as_none(
    postgres: Postgres, database: str, journal: PostgresJournal
) -> None:
    await begun(journal)
    for spoilt in ("phase = 'eaten'", "upload_url = 'ftp://x'", "size = -1"):
        async with asyncio.timeout(10):
            await begun(journal)
            await asyncio.to_thread(postgres.sql, f"UPDATE iqiyi_journal_upload SET {spoilt}", database)
            assert await journal.load(KEY) is None
            assert await journal.unfinished(ENTRY.account) == ()


async def test_unfinished_uploads_of_an_account(journal: PostgresJournal) -> None:
    fence = await begun(journal)
    other = await journal.acquire("other", "one", LONG)
    assert other is not None
    await journal.begin("other", other, attrs.evolve(ENTRY, account="another"))
    ((key, entry),) = await journal.unfinished(ENTRY.account)
    assert (key, entry.file_id) == (KEY, ENTRY.file_id)
    await journal.advance(KEY, fence, Phase.FINISHED)
    assert await journal.unfinished(ENTRY.account) == ()


async def test_names_that_no_database_takes_are_written_readably(journal: PostgresJournal) -> None:
    fence = await journal.acquire(KEY, "one", LONG)
    assert fence is not None
    assert await journal.begin(KEY, fence, attrs.evolve(ENTRY, name="a\0b\udcffc"))
    entry = await journal.load(KEY)
    assert entry is not None
    assert entry.name == "a\\x00b\\udcffc"


async def test_a_value_that_the_database_cannot_hold_is_an_error_at_once(journal: PostgresJournal) -> None:
    fence = await begun(journal)
    began = time.monotonic()
    with pytest.raises(OSError, match="can't keep a value"):
        await journal.record(KEY, fence, chunk(0, 2**70))
    assert time.monotonic() - began < 5
    assert await journal.record(KEY, fence, chunk(0, 9))


# Event loops, processes, cancelled tasks


def test_event_loops_one_after_the_other_and_at_once(database: str) -> None:
    journal = PostgresJournal(database)

    async def use(key: str) -> None:
        try:
            fence = await journal.acquire(key, "one", LONG)
            assert fence is not None
            assert await journal.begin(key, fence, ENTRY)
        finally:
            await journal.aclose()

    asyncio.run(use("first"))
    asyncio.run(use("second"))
    assert not journal._pool._loops

    async def in_two_threads() -> None:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, use(key)) for key in ("third", "fourth")))

    asyncio.run(in_two_threads())


async def test_two_processes_share_an_upload(database: str, journal: PostgresJournal) -> None:
    fence = await begun(journal)
    with child("record_in_postgres", database, fence, 1000, 30) as process:
        for number in range(30):
            assert await journal.record(KEY, fence, chunk(number, number))
        out, err = await asyncio.to_thread(process.communicate, timeout=50)
    assert (process.returncode, err) == (0, "")
    told = [int(line) for line in out.split()]
    assert sorted(each.first for each in await ranges(journal)) == [*range(30), *told]
    assert told == list(range(1000, 1030))


async def test_what_a_killed_process_has_told_is_there(database: str, journal: PostgresJournal) -> None:
    fence = await begun(journal)
    with child("record_in_postgres", database, fence, 0) as process:
        assert process.stdout is not None
        told = [int(await asyncio.to_thread(process.stdout.readline)) for _ in range(20)]
        process.kill()
        told += [int(line) for line in (await asyncio.to_thread(process.stdout.read)).split()]
    kept = [each.first for each in await ranges(journal)]
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1


async def test_a_child_after_a_fork_has_connections_of_its_own(database: str) -> None:
    out = await asyncio.to_thread(_said_by_fork, database)
    assert out.split() == ["child", "parent"]


def _said_by_fork(database: str) -> str:
    with child("fork_with_postgres", database) as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    return str(out)


async def test_cancelled_tasks_leave_no_connection_behind(database: str) -> None:
    for round_ in range(3):
        async with PostgresJournal(database) as journal:
            for delay in range(12):
                tasks = [asyncio.create_task(journal.acquire(f"{n}", "one", LONG)) for n in range(8)]
                await asyncio.sleep(delay * 0.001 * round_)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(10):
                await begun(journal)
    gc.collect()


# A server that goes away


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that may be killed."""
    with running() as server:
        yield server


async def test_a_server_that_restarts_is_waited_for(own_server: Postgres) -> None:
    journal = PostgresJournal(own_server.url)
    fence = await begun(journal)
    await asyncio.to_thread(own_server.kill)
    write = asyncio.create_task(journal.record(KEY, fence, chunk(0, 9)))
    renewal = asyncio.create_task(journal.renew(KEY, fence, LONG))
    await asyncio.sleep(0.3)
    assert not write.done()
    await asyncio.to_thread(own_server.start)
    assert await write
    assert await renewal
    assert await ranges(journal) == (chunk(0, 9),)
    await journal.aclose()


async def test_a_server_that_stays_away_is_an_error_in_time_and_cancelling_does_not_wait(own_server: Postgres) -> None:
    journal = PostgresJournal(own_server.url, patience=0.6)
    fence = await begun(journal)
    await asyncio.to_thread(own_server.kill)
    waiting = asyncio.create_task(journal.record(KEY, fence, chunk(0, 9)))
    began = time.monotonic()
    with pytest.raises(OSError, match="the upload journal in PostgreSQL can't be"):
        await journal.renew(KEY, fence, LONG)
    assert time.monotonic() - began < 5
    await asyncio.gather(waiting, return_exceptions=True)
    journal = PostgresJournal(own_server.url, patience=60)
    await asyncio.to_thread(own_server.start)
    await begun(journal)
    await asyncio.to_thread(own_server.kill)
    task = asyncio.create_task(journal.load(KEY))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - began < 1
    await journal.aclose()


async def test_of_records_whose_answers_were_lost_none_is_there_twice(own_server: Postgres) -> None:
    journal = PostgresJournal(own_server.url, patience=30)
    fence = await begun(journal)
    told: list[ChunkReceipt] = []
    end = asyncio.Event()

    async def record(first: int) -> None:
        while not end.is_set():
            each = chunk(first, first)
            assert await journal.record(KEY, fence, each)
            told.append(each)
            first += 4

    tasks = [asyncio.create_task(record(number)) for number in range(4)]
    for _ in range(2):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
    await asyncio.sleep(0.1)
    end.set()
    await asyncio.gather(*tasks)
    kept = await ranges(journal)
    assert sorted(kept, key=str) == sorted(told, key=str)
    await journal.aclose()


async def test_what_was_done_before_its_answer_was_lost_is_told_when_it_is_repeated(database: str) -> None:
    async with LosesAnswers(database) as journal:
        fence = await journal.acquire(KEY, "one", LONG)
        assert fence is not None
        assert await journal.begin(KEY, fence, ENTRY)
        assert await journal.record(KEY, fence, chunk(0, 9))
        assert await ranges(journal) == (chunk(0, 9),)
        assert await journal.advance(KEY, fence, Phase.FINISHING)
        record = GatewayRecord(KEY, "me", "{}", 10, time.time() - 1)
        assert await journal.create_upload(record)
        assert [each.key for each in await journal.expire_uploads()] == [KEY]
        assert await journal.expire_uploads() == ()
        assert await journal.release(KEY, fence)
        assert not await journal.record(KEY, fence, chunk(0, 9)), "given back"
        assert await journal.acquire(KEY, "two", LONG) is not None
        assert not await journal.release(KEY, fence), "taken over"
    assert journal.lost > 8


class LosesAnswers(PostgresJournal):
    """Each statement is executed, and the answer to the first attempt lost."""

    lost = 0

    async def _do(self, work: Any) -> Any:
        lost = False

        async def attempt(each: Any) -> Any:
            nonlocal lost
            result = await work(each)
            if not lost:
                lost = True
                self.lost += 1
                raise ConnectionResetError("the answer is lost")
            return result

        return await super()._do(attempt)


async def test_the_server_is_killed_and_started_under_uploads(
    own_server: Postgres, emulator: ThreadedEmulatorServer, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(random.Random(number).randbytes(1_000_000))
    emulator.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.05)])
    async with (
        PostgresJournal(own_server.url, patience=30) as journal,
        cloud(emulator.endpoint_url, journal=journal) as client,
    ):
        uploads = [asyncio.create_task(client.upload(path, NAME)) for path in paths]
        for _ in range(2):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_server.start)
        receipts = await asyncio.gather(*uploads)
        for path, receipt in zip(paths, receipts, strict=True):
            assert emulator.content(receipt.file_id) == path.read_bytes()
        assert len(emulator.published()) == len(paths)
        assert {receipt.file_id for receipt in receipts} == {
            (await client.upload(path, NAME)).file_id for path in paths
        }


# Machines


async def test_another_machine_goes_on_where_a_killed_one_was(
    database: str, emulator: ThreadedEmulatorServer, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(2_000_000))
    emulator.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.05)])
    with child("upload_with_postgres", database, emulator.endpoint_url, path, "reel 7") as process:
        async with PostgresJournal(database) as journal:
            async with asyncio.timeout(30):
                while not any(len(entry.accepted) > 4 for entry in await _all(journal)):
                    await asyncio.sleep(0.02)
            async with cloud(emulator.endpoint_url, journal=journal, lease_seconds=1.0) as client:
                with pytest.raises(UploadError, match="being uploaded already"):
                    await client.upload(path, NAME, key="reel 7")
                process.kill()
                await asyncio.to_thread(process.wait)
                # The other machine has the file elsewhere.
                moved = path.rename(tmp_path / "moved.mp4")
                receipt = await _as_soon_as_the_lease_is_over(client, moved)
    assert receipt.resumed_bytes > 4 * 64 * 1024
    assert emulator.content(receipt.file_id) == content(2_000_000)
    assert len(emulator.published()) == 1


async def _all(journal: PostgresJournal) -> list[Any]:
    async def work(attempt: Any) -> list[Any]:
        return list(await attempt.rows("SELECT key FROM iqiyi_journal_upload"))

    found = [await journal.load(row[0]) for row in await journal._do(work)]
    return [entry for entry in found if entry is not None]


async def _as_soon_as_the_lease_is_over(client: Any, path: Path) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.upload(path, NAME, key="reel 7")
            except UploadError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.1)


async def test_who_cannot_renew_its_lease_stops(own_server: Postgres, emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.4)])
    async with (
        PostgresJournal(own_server.url, patience=0.3) as journal,
        cloud(emulator.endpoint_url, journal=journal, lease_seconds=1.0, max_workers=1) as client,
    ):
        upload = asyncio.create_task(client.upload(content(2_000_000), NAME, file_type="mp4", key="stops"))
        await asyncio.sleep(0.6)
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(UploadError, match="could not be renewed in time") as caught:
            await upload
        assert caught.value.resumable
        assert not emulator.published()


def test_statements_use_the_clock_of_the_database_only() -> None:
    for name, statement in vars(tables).items():
        if name.isupper() and isinstance(statement, str):
            assert "now()" not in statement.lower()
            assert "current_timestamp" not in statement.lower()

"""The journal in SQLite: who can reach it, what happens when it is broken, full or killed, and its clock."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import sqlite3
import time
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iqiyi_async.models import ChunkReceipt, JournalEntry
from iqiyi_async.stores import GatewayRecord, MemoryJournal, Phase, SqliteJournal, _database

from .children import ENTRY
from .helpers import KEY, child, descriptors, mode, posix_only, said_by, umask

DAY = 86400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uploads.db"


def chunk(number: int) -> ChunkReceipt:
    return ChunkReceipt(number, number, "0" * 32)


async def begun(journal: SqliteJournal, key: str = KEY) -> int:
    """Begin an upload under a claim: the fence."""
    fence = await journal.acquire(key, "the test", 3600)
    assert fence is not None
    assert await journal.begin(key, fence, ENTRY)
    return fence


def plain(entry: JournalEntry | None) -> JournalEntry | None:
    """An entry without what the journal itself adds to it."""
    return None if entry is None else attrs.evolve(entry, changed=0.0, key="")


async def filled(path: Path, ranges: int = 3) -> int:
    journal = SqliteJournal(path)
    fence = await begun(journal)
    for number in range(ranges):
        assert await journal.record(KEY, fence, chunk(number))
    await journal.aclose()
    return fence


async def accepted(journal: SqliteJournal) -> list[int] | None:
    entry = await journal.load(KEY)
    return None if entry is None else [each.first for each in entry.accepted]


def aside(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.2"))


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


# Who can reach it.


@posix_only
@pytest.mark.anyio
@pytest.mark.parametrize("mask", [0, 0o077])
async def test_its_files_are_their_owners_alone(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "one" / "two" / "uploads.db"
    journal = SqliteJournal(path)
    with umask(mask):
        await begun(journal)
    assert mode(tmp_path / "one") == mode(path.parent) == 0o700
    assert {each.name: mode(each) for each in path.parent.iterdir() if ".alive-" not in each.name} == {
        "uploads.db": 0o600,
        "uploads.db-wal": 0o600,
        "uploads.db-shm": 0o600,
        "uploads.db.lock": 0o600,
    }
    assert [mode(each) for each in path.parent.glob("*.alive-*")] == [0o600]
    await journal.aclose()


@posix_only
@pytest.mark.anyio
async def test_by_default_it_is_in_the_private_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    journal = SqliteJournal()
    await begun(journal)
    assert mode(tmp_path / "state" / "iqiyi-async") == 0o700
    assert (tmp_path / "state" / "iqiyi-async" / "uploads-3.db").is_file()
    await journal.aclose()


@posix_only
@pytest.mark.anyio
async def test_a_file_that_others_could_reach_is_tightened(path: Path) -> None:
    await filled(path)
    path.chmod(0o666)
    journal = SqliteJournal(path)
    assert await accepted(journal) == [0, 1, 2]
    assert mode(path) == 0o600
    assert mode(path.with_name("uploads.db-wal")) == 0o600
    await journal.aclose()


@posix_only
@pytest.mark.anyio
async def test_a_link_is_refused(tmp_path: Path, path: Path) -> None:
    await filled(tmp_path / "elsewhere.db")
    path.symlink_to(tmp_path / "elsewhere.db")
    journal = SqliteJournal(path)
    with pytest.raises(PermissionError, match="symbolic link"):
        await journal.load(KEY)
    await journal.aclose()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.anyio
async def test_a_file_of_another_user_is_refused(path: Path) -> None:
    await filled(path)
    os.chown(path, 12345, -1)
    journal = SqliteJournal(path)
    with pytest.raises(PermissionError, match="another user"):
        await journal.load(KEY)
    await journal.aclose()


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
async def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    journal = SqliteJournal(path)
    async with asyncio.timeout(5):
        with pytest.raises(OSError, match="no regular file"):
            await journal.load(KEY)
    await journal.aclose()


# What happens when it is broken.


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["bytes", "text", "an application's database"])
async def test_a_file_that_is_not_ours_is_refused_and_left_alone(path: Path, kind: str) -> None:
    if kind == "an application's database":
        await asyncio.to_thread(_execute, path, "CREATE TABLE customers (name TEXT)")
    else:
        path.write_bytes(random.Random(3).randbytes(5000) if kind == "bytes" else b"notes\n")
    content = path.read_bytes()
    journal = SqliteJournal(path)
    with pytest.raises(OSError, match="no upload journal of iqiyi-async") as caught:
        await journal.load(KEY)
    assert str(path) in str(caught.value)
    await journal.aclose()
    assert path.read_bytes() == content
    assert not aside(path)


@pytest.mark.anyio
async def test_a_database_with_broken_pages_is_put_aside_when_that_shows(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path, ranges=300)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    journal = SqliteJournal(path)
    assert await accepted(journal) is None
    fence = await begun(journal)
    assert await journal.record(KEY, fence, chunk(5))
    assert await accepted(journal) == [5]
    await journal.aclose()
    assert len(aside(path)) == 1
    assert len(warnings_in(caplog)) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("journals", [1, 2])
async def test_damage_that_shows_only_later_is_mended_once_for_all(
    path: Path, caplog: pytest.LogCaptureFixture, journals: int
) -> None:
    await filled(path, ranges=4000)
    opened = [SqliteJournal(path) for _ in range(journals)]
    for journal in opened:
        assert await journal.load("other") is None
    with path.open("r+b") as file:  # the pages of the ranges, while others are at work on the rest
        file.seek(path.stat().st_size // 3 // 4096 * 4096)
        file.write(b"\xa5" * (path.stat().st_size // 2))
    for journal in opened:
        assert await journal.load(KEY) is None
    fence = await begun(opened[0])
    assert await opened[-1].record(KEY, fence, chunk(5))
    for journal in opened:
        assert await accepted(journal) == [5]
        await journal.aclose()
    assert len(aside(path)) >= 1
    assert len([each for each in aside(path) if not each.name.endswith(("-wal", "-shm"))]) == 1
    assert len(warnings_in(caplog)) == 1


@pytest.mark.anyio
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
async def test_whatever_the_damage_an_upload_can_be_noted(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("damaged") / "uploads.db"
    await filled(path, ranges=30)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(100, len(content) - 1), label="length") :]
    for _ in range(data.draw(st.integers(0, 3), label="holes")):
        start = data.draw(st.integers(100, max(100, len(content) - 1)), label="start")
        content[start : start + 64] = data.draw(st.binary(min_size=64, max_size=64), label="bytes")
    path.write_bytes(content)
    journal = SqliteJournal(path)
    await journal.load(KEY)
    # The damage may be found at any step; the database is then a new one, without the claim.
    for _ in range(4):
        fence = await journal.acquire("other", "the test", 3600)
        assert fence is not None
        if await journal.begin("other", fence, ENTRY) and await journal.record("other", fence, chunk(5)):
            break
    entry = await journal.load("other")
    assert entry is not None
    assert entry.accepted == (chunk(5),)
    await journal.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("column", ["size", "expires", "accepted", "received", "releases"])
@pytest.mark.parametrize("value", ["9e999", "'words'", "x'00'"])
async def test_a_damaged_row_of_a_gateway_counts_as_none(path: Path, column: str, value: str) -> None:
    journal = SqliteJournal(path)
    assert await journal.create_upload(GatewayRecord(KEY, "me", "{}", 10, time.time() + 3600))
    await asyncio.to_thread(_execute, path, f"UPDATE gateway SET {column} = {value}")
    found = await journal.load_upload(KEY)
    assert found is None or (column == "expires" and found.expires == float("inf"))
    await journal.aclose()


@pytest.mark.anyio
async def test_an_empty_file_is_no_damage(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.touch()
    journal = SqliteJournal(path)
    await begun(journal)
    await journal.aclose()
    assert not warnings_in(caplog)


@pytest.mark.anyio
@pytest.mark.parametrize("version", [2, 99])
async def test_two_releases_do_not_touch_each_other_s_file(
    path: Path, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    await asyncio.to_thread(_execute, path, f"PRAGMA user_version = {version}")
    content = path.read_bytes()
    journal = SqliteJournal(path)
    assert await journal.load(KEY) is None
    await begun(journal)
    await journal.aclose()
    assert path.read_bytes() == content
    assert path.with_name("uploads-3.db").is_file()
    assert not aside(path)
    assert not warnings_in(caplog)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        "phase = 'dreaming'",
        "inode = 'x'",
        "size = 'much'",
        "upload_url = ''",
        "upload_url = 'nonsense'",
        "file_id = 'a b'",
        "file_id = ''",
        "size = 9e999",
        "ctime_ns = -9e999",
        "mtime_ns = '99999999999999999999'",
    ],
)
async def test_an_entry_that_cannot_be_read_counts_as_none(path: Path, change: str) -> None:
    await filled(path)
    await asyncio.to_thread(_execute, path, f"UPDATE uploads SET {change}")
    journal = SqliteJournal(path)
    assert await journal.load(KEY) is None
    await begun(journal)
    assert plain(await journal.load(KEY)) == ENTRY
    await journal.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["last = 9e999", "first = 'x'", "md5 = 0", "attempts = '99999999999999999999'"])
async def test_an_entry_with_a_range_that_cannot_be_read_counts_as_none(path: Path, change: str) -> None:
    await filled(path)
    await asyncio.to_thread(_execute, path, f"UPDATE ranges SET {change}")
    journal = SqliteJournal(path)
    assert await journal.load(KEY) is None
    await journal.aclose()


@pytest.mark.anyio
async def test_where_the_ranges_of_a_finished_upload_went_does_not_matter(path: Path) -> None:
    await filled(path)
    await asyncio.to_thread(_execute, path, "UPDATE uploads SET upload_url = 'nonsense', phase = 'finished'")
    journal = SqliteJournal(path)
    found = await journal.load(KEY)
    assert found is not None
    assert found.phase is Phase.FINISHED
    await journal.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("value", ["''", "'junk'", "x'fffe'", "9e999", "'99999999999999999999'", "-5"])
@pytest.mark.parametrize("column", ["fence", "expires"])
async def test_a_lease_that_cannot_be_read_is_free_or_ends(path: Path, column: str, value: str) -> None:
    await filled(path)
    await asyncio.to_thread(_execute, path, f"UPDATE leases SET owner = 'x', alive = '', {column} = {value}")
    await asyncio.to_thread(_execute, path, "UPDATE leases SET expires = 0 WHERE expires > 0")
    journal = SqliteJournal(path)
    fence = await journal.acquire(KEY, "owner", 60.0)
    assert fence is not None
    assert await journal.renew(KEY, fence, 60.0)
    assert await journal.forget(KEY, fence)
    await journal.aclose()


@posix_only
@pytest.mark.anyio
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_removed_or_replaced_under_it_is_noticed(path: Path, replaced: bool) -> None:
    journal = SqliteJournal(path)
    await begun(journal)
    open_before = descriptors()
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink()
    if replaced:
        await filled(path)
    assert await accepted(journal) == ([0, 1, 2] if replaced else None)
    await begun(journal)
    assert descriptors() == open_before
    await journal.aclose()
    later = SqliteJournal(path)
    assert plain(await later.load(KEY)) == ENTRY
    await later.aclose()


@posix_only
@pytest.mark.anyio
@pytest.mark.parametrize("watched", [False, True], ids=["alone", "another has it open"])
@pytest.mark.parametrize("what", ["emptied", "cut", "log removed"])
async def test_a_file_that_is_emptied_under_it_is_noticed(path: Path, what: str, watched: bool) -> None:
    """SQLite goes on with what it has open: two processes would go on with two logs, and hold the same lease."""
    one, other = SqliteJournal(path), SqliteJournal(path)
    fence = await one.acquire(KEY, "one", 60.0)
    assert fence is not None
    assert await one.begin(KEY, fence, ENTRY)
    if watched:
        assert await other.load(KEY) is not None
    if what == "log removed":
        path.with_name(f"{path.name}-wal").unlink()
    else:
        os.truncate(path, 0 if what == "emptied" else 4096)
    later = await other.acquire(KEY, "other", 60.0)
    if later is None:
        assert await one.renew(KEY, fence, 60.0), "nothing was lost"
    else:
        assert not await one.renew(KEY, fence, 60.0)
        assert await one.acquire(KEY, "one", 60.0) is None
        assert await other.begin(KEY, later, ENTRY)
        assert await one.load(KEY) is not None
    await one.aclose()
    await other.aclose()


def _execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


# Full, busy, killed.


def test_a_full_disk_is_an_error_and_what_was_told_is_there(path: Path) -> None:
    said = said_by("journal_full", path)
    assert str(path) in said


@pytest.mark.anyio
async def test_a_database_that_another_process_keeps_busy_is_an_error_in_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_database, "BUSY", 0.1)
    fence = await filled(path)
    journal = SqliteJournal(path)
    assert await accepted(journal) == [0, 1, 2]
    other = await asyncio.to_thread(_begin_in_any_thread, path)
    with pytest.raises(OSError, match="locked") as caught:
        await journal.record(KEY, fence, chunk(3))
    assert caught.value.errno == errno.EBUSY
    await asyncio.to_thread(other.close)
    await journal.record(KEY, fence, chunk(4))
    assert await accepted(journal) == [0, 1, 2, 4]
    await journal.aclose()


def _begin_in_any_thread(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.mark.anyio
async def test_nothing_is_left_open_when_it_is_closed(path: Path) -> None:
    before = descriptors()
    journal = SqliteJournal(path)
    tasks = [asyncio.create_task(begun(journal, str(number))) for number in range(20)]
    await asyncio.sleep(0.001)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    await journal.aclose()
    assert descriptors() == before
    assert sorted(each.name for each in path.parent.iterdir() if each.name.startswith("uploads")) == [
        "uploads.db",
        "uploads.db.lock",
    ]


@pytest.mark.anyio
async def test_closing_waits_for_what_is_under_way(path: Path) -> None:
    before = descriptors()
    journal = SqliteJournal(path)
    first = asyncio.create_task(journal.acquire(KEY, "the test", 60))
    await asyncio.sleep(0)
    await journal.aclose()
    await first
    assert descriptors() == before


def test_what_was_told_survives_a_kill_at_any_moment(path: Path) -> None:
    fence = asyncio.run(filled(path, ranges=0))
    chance = random.Random(5)
    told = 0
    for _ in range(6):
        with child("record_from", path, fence, told) as recorder:
            assert recorder.stdout is not None
            recorder.stdout.readline()
            time.sleep(chance.random() * 0.05)
            recorder.kill()
            lines = recorder.stdout.read().splitlines()
        said = int(lines[-2]) if len(lines) > 1 else told  # the last line may be torn

        async def look() -> list[int] | None:
            journal = SqliteJournal(path)
            found = await accepted(journal)
            await journal.aclose()
            return found

        found = asyncio.run(look())
        assert found is not None
        assert found == list(range(len(found))), "ranges are missing or doubled"
        assert len(found) > said
        told = len(found)
    assert not aside(path)


def test_four_processes_record_at_once(path: Path) -> None:
    fence = asyncio.run(filled(path, ranges=0))
    children = [child("record_from", path, fence, 1000 * number, 100) for number in range(4)]
    processes = [each.__enter__() for each in children]
    for process in processes:
        _, err = process.communicate(timeout=40)
        assert process.returncode == 0, err
    for each in children:
        each.__exit__(None, None, None)

    async def look() -> list[int] | None:
        journal = SqliteJournal(path)
        found = await accepted(journal)
        await journal.aclose()
        return found

    assert sorted(asyncio.run(look()) or []) == [1000 * number + n for number in range(4) for n in range(100)]


# Its clock.


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [SqliteJournal, MemoryJournal])
async def test_leases_are_counted_by_the_clock(path: Path, kind: type) -> None:
    now = 1_000_000.0
    journal = kind(path, clock=lambda: now) if kind is SqliteJournal else kind(clock=lambda: now)
    fence = await journal.acquire(KEY, "one", 60)
    now += 59.9
    assert await journal.acquire(KEY, "two", 60) is None
    assert await journal.renew(KEY, fence, 60)
    now += 59.9
    assert await journal.acquire(KEY, "two", 60) is None
    now += 0.1
    assert await journal.acquire(KEY, "two", 60) is not None
    assert await journal.acquire(KEY, "one", 60) is None
    await journal.aclose()


@pytest.mark.anyio
async def test_a_finished_upload_is_forgotten_in_small_lots_an_unfinished_one_never(path: Path) -> None:
    now = 1_000_000.0
    journal = SqliteJournal(path, clock=lambda: now)
    for key, phase in (("sending", Phase.SENDING), ("finishing", Phase.FINISHING), ("finished", Phase.FINISHED)):
        fence = await begun(journal, key)
        await journal.record(key, fence, chunk(0))
        await journal.advance(key, fence, phase)
    for later, known in ((29.9, True), (0.2, False), (1000.0, False)):
        now += later * DAY
        for number in range(20):
            await begun(journal, f"other {number}")
        assert (await journal.load("finished") is not None) is known
        assert await journal.load("sending") is not None
        assert await journal.load("finishing") is not None
    await journal.aclose()
    assert await asyncio.to_thread(_execute, path, "SELECT count(*) FROM ranges") == [(2,)]


@posix_only
@pytest.mark.anyio
async def test_a_claim_of_a_process_whose_liveness_file_is_gone_is_free(path: Path) -> None:
    journal = SqliteJournal(path)
    assert await journal.acquire(KEY, "one", 3600) is not None
    for each in path.parent.glob("*.alive-*"):
        each.unlink()
    other = SqliteJournal(path)
    assert await other.acquire(KEY, "two", 3600) is not None
    await journal.aclose()
    await other.aclose()


@pytest.mark.anyio
async def test_many_writes_at_once_are_committed_together(path: Path) -> None:
    journal = SqliteJournal(path)
    fences = [await begun(journal, str(number)) for number in range(50)]
    writes = [journal.record(str(number), fence, chunk(1)) for number, fence in enumerate(fences)]
    assert await asyncio.gather(*writes) == [True] * 50
    await journal.aclose()


def test_it_serves_one_event_loop_after_the_other(path: Path) -> None:
    journal = SqliteJournal(path)
    fence = asyncio.run(begun(journal))
    for number in range(3):
        assert asyncio.run(journal.record(KEY, fence, chunk(number)))
    assert asyncio.run(accepted(journal)) == [0, 1, 2]
    asyncio.run(journal.aclose())

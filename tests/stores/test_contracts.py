"""The public contracts, kept by every store of ours, and found out when they are broken."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from iqiyi_async.models import ChunkReceipt, Token
from iqiyi_async.stores import (
    FileTokenStore,
    GatewayRecord,
    GatewayState,
    JournalEntry,
    MemoryJournal,
    MemoryTokenStore,
    Phase,
    PostgresJournal,
    SqliteJournal,
    StoredToken,
    TokenStore,
    UploadJournal,
)
from iqiyi_async.testing import GatewayStoreContract, JournalContract, TokenStoreContract


class TestMemoryTokenStore(TokenStoreContract):
    async def make(self) -> TokenStore:
        return MemoryTokenStore()


class TestFileTokenStore(TokenStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "folder" / "tokens.json"

    async def make(self) -> TokenStore:
        return FileTokenStore(self.path)

    async def again(self, made: TokenStore) -> TokenStore:
        return FileTokenStore(self.path)


class TestRedisTokenStore(TokenStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, redis_url: str) -> None:
        self.url, self.prefix = redis_url, f"test-{secrets.token_hex(8)}:"

    async def make(self) -> TokenStore:
        from iqiyi_async.stores import RedisTokenStore

        return RedisTokenStore(self.url, prefix=self.prefix)

    async def again(self, made: TokenStore) -> TokenStore:
        return await self.make()


class TestRedisTokenStoreWithAClientThatDecodes(TestRedisTokenStore):
    async def make(self) -> TokenStore:
        from redis.asyncio import Redis

        from iqiyi_async.stores import RedisTokenStore
        from iqiyi_async.stores._redis_client import OPTIONS

        self.client = Redis.from_url(self.url, decode_responses=True, **OPTIONS)
        return RedisTokenStore(self.client, prefix=self.prefix)

    async def again(self, made: TokenStore) -> TokenStore:
        from iqiyi_async.stores import RedisTokenStore

        return RedisTokenStore(self.client, prefix=self.prefix)

    async def close(self, made: TokenStore) -> None:
        await self.client.aclose()


class TestMemoryJournal(JournalContract):
    async def make(self) -> UploadJournal:
        return MemoryJournal()


class TestSqliteJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "folder" / "uploads.db"

    async def make(self) -> UploadJournal:
        return SqliteJournal(self.path)

    async def again(self, made: UploadJournal) -> UploadJournal:
        return SqliteJournal(self.path)


class TestPostgresJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def place(self, database: str) -> None:
        self.url = database

    async def make(self) -> UploadJournal:
        return PostgresJournal(self.url)

    async def again(self, made: UploadJournal) -> UploadJournal:
        return PostgresJournal(self.url)


class TestMemoryGatewayStore(GatewayStoreContract):
    async def make(self) -> MemoryJournal:
        return MemoryJournal()


class TestSqliteGatewayStore(GatewayStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "folder" / "uploads.db"

    async def make(self) -> SqliteJournal:
        return SqliteJournal(self.path)

    async def again(self, made: object) -> SqliteJournal:
        return SqliteJournal(self.path)


class TestPostgresGatewayStore(GatewayStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, database: str) -> None:
        self.url = database

    async def make(self) -> PostgresJournal:
        return PostgresJournal(self.url)

    async def again(self, made: object) -> PostgresJournal:
        return PostgresJournal(self.url)


# A suite that nothing can fail proves nothing: each of these stores has one fault, and a test that must find it.


class TakesAnyVersion(MemoryTokenStore):
    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        found = await self.load(key)
        return await super().compare_and_set(key, found.version if found else None, token)


class CountsBackwards(MemoryTokenStore):
    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        written = await super().compare_and_set(key, expected, token)
        if written is not None:
            self._tokens[key] = written = attrs.evolve(written, version=1000 - token.obtained_at.second)
        return written


class OneTokenForAll(MemoryTokenStore):
    async def load(self, key: str) -> StoredToken | None:
        return next(iter(self._tokens.values()), None)


class CutsTimes(MemoryTokenStore):
    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        written = await super().compare_and_set(key, expected, token)
        if written is not None:
            cut = attrs.evolve(token, obtained_at=token.obtained_at.replace(microsecond=0))
            self._tokens[key] = attrs.evolve(written, token=cut)
        return written


class LeasesToEverybody(MemoryTokenStore):
    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncIterator[None]:
        yield


class OneLeaseForAllKeys(MemoryTokenStore):
    def lease(self, key: str, *, ttl: float):
        return super().lease("", ttl=ttl)


class KeepsTheLeaseAfterAnError(MemoryTokenStore):
    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncIterator[None]:
        await self._turns.of(key).acquire()
        yield
        self._turns.of(key).release()


class Talkative(MemoryTokenStore):
    def __repr__(self) -> str:
        return f"<Talkative {[each.token.access_token for each in self._tokens.values()]}>"


class ForgetsRanges(MemoryJournal):
    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        return await super().begin(key, fence, attrs.evolve(entry, accepted=()))


class KeepsOldRanges(MemoryJournal):
    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        before = self._ranges.get(key, [])
        done = await super().begin(key, fence, entry)
        self._ranges[key] = before + self._ranges[key]
        return done


class SortsRanges(MemoryJournal):
    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        done = await super().record(key, fence, chunk)
        self._ranges.get(key, []).sort(key=lambda each: each.first)
        return done


class DropsOverlaps(MemoryJournal):
    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        if all(chunk.last < each.first or chunk.first > each.last for each in self._ranges.get(key, [])):
            await super().record(key, fence, chunk)
        return True


class TakesAnyFence(MemoryJournal):
    def _holds(self, key: str, fence: int) -> bool:
        return True


class RepeatsFences(MemoryJournal):
    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        return None if await super().acquire(key, owner, ttl) is None else 7


class CountsFencesFromOne(MemoryJournal):
    def __init__(self) -> None:
        super().__init__(wall_clock=lambda: 0.0)


class LosesPhases(MemoryJournal):
    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        return True


class LeaseForEveryOwner(MemoryJournal):
    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        self._leases.pop(key, None)
        return await super().acquire(key, owner, ttl)


class LeaseWithoutEnd(MemoryJournal):
    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        return await super().acquire(key, owner, 1e9)


class NeverRenews(MemoryJournal):
    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        return self._holds(key, fence)


class AnybodyReleases(MemoryJournal):
    async def release(self, key: str, fence: int) -> bool:
        return self._leases.pop(key, None) is not None


class ForgetsTheLeaseToo(MemoryJournal):
    async def forget(self, key: str, fence: int | None = None) -> bool:
        done = await super().forget(key, fence)
        self._leases.pop(key, None)
        return done


class FindsEverything(MemoryJournal):
    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        return tuple(self._entries.values())


class LosesAllWhenClosed(MemoryJournal):
    async def aclose(self) -> None:
        self._entries.clear()


class NotesWithoutLease(MemoryJournal):
    async def set_offset(self, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
        return await super().set_offset(key, self._leases[key][1] if key in self._leases else 0, offset, 1, expires)


class ExpiresForEveryone(MemoryJournal):
    async def expire_uploads(self, limit: int = 50) -> tuple[GatewayRecord, ...]:
        await super().expire_uploads(limit)
        return tuple(each for each in self._gateway.values() if each.state is GatewayState.EXPIRED)


class GivesTheOwnerAway(MemoryJournal):
    async def update_upload(self, record: GatewayRecord, fence: int) -> bool:
        done = await super().update_upload(record, fence)
        if done:
            self._gateway[record.key] = record
        return done


BROKEN_STORES = [
    (TakesAnyVersion, "test_a_write_with_an_old_version_changes_nothing"),
    (TakesAnyVersion, "test_of_many_writers_one_wins"),
    (TakesAnyVersion, "test_of_many_first_writers_one_wins"),
    (TakesAnyVersion, "test_a_first_write_is_refused_if_a_version_is_expected"),
    (CountsBackwards, "test_versions_only_grow"),
    (OneTokenForAll, "test_keys_do_not_meet"),
    (CutsTimes, "test_a_first_write_comes_back_whole"),
    (LeasesToEverybody, "test_a_lease_has_one_holder"),
    (LeasesToEverybody, "test_a_cancelled_waiter_leaves_nothing_behind"),
    (LeasesToEverybody, "test_a_waiter_whose_time_is_up_leaves_nothing_behind"),
    (OneLeaseForAllKeys, "test_leases_of_two_keys_do_not_wait_for_each_other"),
    (KeepsTheLeaseAfterAnError, "test_an_error_inside_gives_the_lease_back"),
    (KeepsTheLeaseAfterAnError, "test_a_cancelled_holder_gives_the_lease_back"),
    (KeepsTheLeaseAfterAnError, "test_a_holder_whose_time_is_up_gives_the_lease_back"),
    (KeepsTheLeaseAfterAnError, "test_a_cancelled_waiter_does_not_keep_the_others_waiting"),
    (Talkative, "test_nothing_printed_holds_a_secret"),
]
BROKEN_JOURNALS = [
    (ForgetsRanges, "test_any_entry_comes_back_as_it_was"),
    (ForgetsRanges, "test_ranges_follow_those_that_an_entry_began_with"),
    (KeepsOldRanges, "test_beginning_replaces_everything"),
    (KeepsOldRanges, "test_beginning_with_the_same_file_id_forgets_its_ranges"),
    (SortsRanges, "test_ranges_come_back_in_the_order_of_their_acceptance"),
    (DropsOverlaps, "test_ranges_that_overlap_or_repeat_are_all_kept"),
    (TakesAnyFence, "test_an_old_fence_changes_nothing"),
    (TakesAnyFence, "test_a_fence_that_was_given_back_changes_nothing"),
    (RepeatsFences, "test_no_fence_is_given_twice"),
    (CountsFencesFromOne, "test_no_fence_is_given_twice"),
    (LosesPhases, "test_phases_are_kept_with_the_ranges"),
    (LeaseForEveryOwner, "test_a_lease_has_one_owner"),
    (LeaseForEveryOwner, "test_of_many_who_ask_for_a_lease_one_gets_it"),
    (LeaseWithoutEnd, "test_a_lease_ends_by_itself"),
    (NeverRenews, "test_a_renewed_lease_lasts"),
    (AnybodyReleases, "test_only_its_fence_gives_a_lease_back"),
    (ForgetsTheLeaseToo, "test_leases_and_entries_do_not_touch_each_other"),
    (FindsEverything, "test_entries_are_found_by_their_content"),
    (LosesAllWhenClosed, "test_everything_is_there_after_closing_and_opening"),
    (LosesAllWhenClosed, "test_closing_twice_does_no_harm_and_a_closed_journal_opens_again"),
]


BROKEN_GATEWAY_STORES = [
    (NotesWithoutLease, "test_without_the_lease_nothing_is_written"),
    (ExpiresForEveryone, "test_what_nobody_goes_on_with_expires_once"),
    (GivesTheOwnerAway, "test_an_update_changes_neither_the_owner_nor_the_requests"),
]


def named(fault: tuple[type, str]) -> str:
    return f"{fault[0].__name__}-{fault[1].removeprefix('test_')}"


@pytest.mark.anyio
@pytest.mark.parametrize("fault", BROKEN_STORES, ids=named)
async def test_a_broken_token_store_is_found_out(fault: tuple[type[MemoryTokenStore], str]) -> None:
    class Suite(TokenStoreContract):
        patience = 0.5

        async def make(self) -> TokenStore:
            return fault[0]()

    with pytest.raises((AssertionError, TimeoutError, RuntimeError, ExceptionGroup)):
        await getattr(Suite(), fault[1])()


@pytest.mark.anyio
@pytest.mark.parametrize("fault", BROKEN_JOURNALS, ids=named)
async def test_a_broken_journal_is_found_out(fault: tuple[type[MemoryJournal], str]) -> None:
    class Suite(JournalContract):
        async def make(self) -> UploadJournal:
            return fault[0]()

    with pytest.raises(AssertionError):
        await getattr(Suite(), fault[1])()


@pytest.mark.anyio
@pytest.mark.parametrize("fault", BROKEN_GATEWAY_STORES, ids=named)
async def test_a_broken_gateway_store_is_found_out(fault: tuple[type[MemoryJournal], str]) -> None:
    class Suite(GatewayStoreContract):
        async def make(self) -> MemoryJournal:
            return fault[0]()

    with pytest.raises(AssertionError):
        await getattr(Suite(), fault[1])()


@pytest.mark.anyio
async def test_a_suite_that_does_not_say_how_to_make_its_store_fails() -> None:
    with pytest.raises(NotImplementedError, match="async def make"):
        await TokenStoreContract().test_an_unknown_key_holds_nothing()

"""What the records of a gateway must prove: tests of the `GatewayStore` protocol, whatever is behind it."""

from __future__ import annotations

import asyncio
import time

import attrs

from ..stores.gateway import GatewayJournal, GatewayRecord, GatewayState, gateway_journal
from ._contract import Contract, together

__all__ = ["GatewayStoreContract"]

KEY, OTHER = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "ffeeddccbbaa99887766554433221100"
LONG, SHORT = 300.0, 0.2


def record(key: str = KEY, *, lives: float = 3600.0) -> GatewayRecord:
    """A record that no test outlives, unless it says so."""
    return GatewayRecord(key, "用户 7", '{"name": "海南"}', 5 * 2**40, round(time.time() + lives, 3))


class GatewayStoreContract(Contract[GatewayJournal]):
    """Tests of a `GatewayStore`. Define `make`, and `again` if its content can be opened by somebody else."""

    async def test_it_keeps_the_protocol(self) -> None:
        async with self.opened() as store:
            assert gateway_journal(store) is store

    async def test_an_unknown_key_holds_nothing(self) -> None:
        async with self.opened() as store:
            fence = await self.claimed(store)
            assert await store.load_upload(KEY) is None
            assert not await store.request_release(KEY)
            assert not await store.set_offset(KEY, fence, 1, 1, 1.0)
            assert not await store.update_upload(record(), fence)
            assert await store.load_upload(KEY) is None

    async def test_a_record_comes_back_whole_for_everyone(self) -> None:
        async with self.opened_twice() as (store, same):
            for made in (record(), attrs.evolve(record(OTHER), size=None, owner="", offset=7, received=9)):
                assert await store.create_upload(made)
                assert await same.load_upload(made.key) == made

    async def test_a_key_is_taken_once(self) -> None:
        async with self.opened_twice() as (store, same):
            made = await together(*(each.create_upload(record()) for each in (store, same) * 4))
            assert sorted(made) == [False] * 7 + [True]
            assert not await store.create_upload(attrs.evolve(record(), owner="somebody else"))
            found = await store.load_upload(KEY)
            assert found is not None
            assert found.owner == record().owner

    async def test_the_holder_of_the_lease_writes(self) -> None:
        async with self.opened_twice() as (store, same):
            made = record()
            await store.create_upload(made)
            fence = await self.claimed(store)
            assert await store.set_offset(KEY, fence, 2**40, 2**40 + 5, made.expires + 9)
            moved = attrs.evolve(made, offset=2**40, received=2**40 + 5, expires=made.expires + 9)
            assert await same.load_upload(KEY) == moved
            ended = attrs.evolve(
                moved,
                state=GatewayState.REFUSED,
                size=3,
                offset=1,
                received=2,
                file_id="f1",
                problem="no",
                details="{}",
            )
            assert await store.update_upload(ended, fence)
            assert await same.load_upload(KEY) == ended

    async def test_every_state_is_kept(self) -> None:
        async with self.opened() as store:
            await store.create_upload(record())
            fence = await self.claimed(store)
            for state in GatewayState:
                assert await store.update_upload(attrs.evolve(record(), state=state), fence)
                found = await store.load_upload(KEY)
                assert found is not None
                assert found.state is state

    async def test_an_update_changes_neither_the_owner_nor_the_requests(self) -> None:
        async with self.opened() as store:
            await store.create_upload(record())
            fence = await self.claimed(store)
            assert await store.request_release(KEY)
            assert await store.update_upload(attrs.evolve(record(), owner="thief", releases=9), fence)
            found = await store.load_upload(KEY)
            assert found is not None
            assert (found.owner, found.releases) == (record().owner, 1)

    async def test_without_the_lease_nothing_is_written(self) -> None:
        async with self.opened_twice() as (store, same):
            made = record()
            await store.create_upload(made)
            old = await self.claimed(store)
            assert await store.release(KEY, old)
            assert not await store.set_offset(KEY, old, 1, 1, 1.0)
            fence = await same.acquire(KEY, "two", LONG)
            assert fence is not None
            assert not await store.set_offset(KEY, old, 1, 1, 1.0)
            assert not await store.update_upload(attrs.evolve(made, problem="late"), old)
            assert await store.load_upload(KEY) == made
            assert await same.set_offset(KEY, fence, 1, 1, made.expires)

    async def test_a_lease_of_another_key_is_none(self) -> None:
        async with self.opened() as store:
            await store.create_upload(record())
            await store.create_upload(record(OTHER))
            fence = await self.claimed(store)
            assert not await store.set_offset(OTHER, fence, 1, 1, 1.0)

    async def test_requests_to_let_go_are_counted(self) -> None:
        async with self.opened_twice() as (store, same):
            await store.create_upload(record())
            await together(*(each.request_release(KEY) for each in (store, same) * 5))
            found = await same.load_upload(KEY)
            assert found is not None
            assert found.releases == 10

    async def test_what_nobody_goes_on_with_expires_once(self) -> None:
        async with self.opened_twice() as (store, same):
            await store.create_upload(record(lives=-1))
            await store.create_upload(record(OTHER))
            found = await together(*(each.expire_uploads() for each in (store, same) * 3))
            expired = [each for some in found for each in some]
            assert [(each.key, each.state) for each in expired] == [(KEY, GatewayState.EXPIRED)]
            kept = await store.load_upload(KEY)
            assert kept is not None
            assert kept == expired[0]
            assert kept.expires > time.time() + 3600
            other = await store.load_upload(OTHER)
            assert other is not None
            assert other.state is GatewayState.OPEN

    async def test_an_upload_that_goes_on_does_not_expire(self) -> None:
        async with self.opened() as store:
            await store.create_upload(record(lives=SHORT))
            fence = await self.claimed(store)
            await store.set_offset(KEY, fence, 1, 1, time.time() + LONG)
            await asyncio.sleep(SHORT * 1.5)
            assert await store.expire_uploads() == ()

    async def test_what_has_ended_is_removed_after_its_time(self) -> None:
        async with self.opened() as store:
            await store.create_upload(attrs.evolve(record(lives=-1), state=GatewayState.DONE))
            await store.create_upload(attrs.evolve(record(OTHER), state=GatewayState.DONE))
            assert await store.expire_uploads() == ()
            assert await store.load_upload(KEY) is None
            assert await store.load_upload(OTHER) is not None

    async def test_a_video_that_the_application_does_not_know_expires(self) -> None:
        async with self.opened() as store:
            await store.create_upload(attrs.evolve(record(lives=-1), state=GatewayState.FINISHED, file_id="f"))
            (found,) = await store.expire_uploads()
            assert (found.key, found.state, found.file_id) == (KEY, GatewayState.EXPIRED, "f")

    async def test_no_more_expire_at_once_than_were_asked_for(self) -> None:
        async with self.opened() as store:
            keys = [f"{number:032x}" for number in range(5)]
            for key in keys:
                await store.create_upload(record(key, lives=-1))
            first, second = await store.expire_uploads(3), await store.expire_uploads(3)
            assert (len(first), len(second)) == (3, 2)
            assert sorted(each.key for each in first + second) == keys

    async def test_records_survive_closing(self) -> None:
        async with self.opened() as store:
            made = record()
            await store.create_upload(made)
            await store.aclose()
            same = await self.again(store)
            assert await same.load_upload(KEY) == made
            if same is not store:
                await self.close(same)

    async def claimed(self, store: GatewayJournal) -> int:
        """Claim the key for a long time: the fence."""
        fence = await store.acquire(KEY, "one", LONG)
        assert fence is not None
        return fence

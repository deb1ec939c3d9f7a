"""What a token store must prove.

What belongs here: tests of the `TokenStore` protocol, whatever is behind it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import anyio

from ..models import StoredToken, Token
from ..stores.base import TokenStore
from ._contract import KEY, OTHER, Contract, cancelled, together

__all__ = ["TokenStoreContract"]

#: Longer than any test may take: what a test finds free was given back, it did not run out.
TTL = 300.0
#: Seconds in which a task certainly comes to the point where it waits. Should it not, the test still holds.
A_WHILE = 0.05


def sample(number: int, *, refresh_token: str | None = "secret-refresh") -> Token:  # noqa: S107 - not a real one
    """A token that differs from the others, with all digits of its times."""
    start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC) + timedelta(seconds=number)
    return Token(f"secret-access-{number}", refresh_token and f"{refresh_token}-{number}", start, start + timedelta(1))


class TokenStoreContract(Contract[TokenStore]):
    """Tests of a `TokenStore`. Define `make`, and `again` if its content can be opened by somebody else."""

    async def test_an_unknown_key_holds_nothing(self) -> None:
        async with self.opened() as store:
            assert await store.load(KEY) is None

    async def test_a_first_write_comes_back_whole(self) -> None:
        async with self.opened() as store:
            written = await store.compare_and_set(KEY, None, sample(1))
            assert written is not None
            assert written.token == sample(1)
            assert await store.load(KEY) == written

    async def test_any_token_comes_back_as_it_was(self) -> None:
        east = datetime(2026, 5, 6, 7, 8, 9, 1, tzinfo=timezone(timedelta(hours=8)))
        odd = Token('quote " slash \\ 密钥 \n', None, east, east + timedelta(microseconds=1))
        async with self.opened() as store:
            await store.compare_and_set(KEY, None, odd)
            stored = await store.load(KEY)
            assert stored is not None
            assert stored.token == odd

    async def test_a_first_write_is_refused_if_a_version_is_expected(self) -> None:
        async with self.opened() as store:
            assert await store.compare_and_set(KEY, 1, sample(1)) is None
            assert await store.load(KEY) is None

    async def test_a_write_with_the_right_version_replaces(self) -> None:
        async with self.opened() as store:
            first = await _write(store, None, 1)
            second = await _write(store, first.version, 2)
            assert await store.load(KEY) == second

    async def test_a_write_with_an_old_version_changes_nothing(self) -> None:
        async with self.opened() as store:
            first = await _write(store, None, 1)
            second = await _write(store, first.version, 2)
            for expected in (None, first.version, second.version + 1):
                assert await store.compare_and_set(KEY, expected, sample(3)) is None, f"took version {expected}"
            assert await store.load(KEY) == second

    async def test_versions_only_grow(self) -> None:
        async with self.opened_twice() as stores:
            last = await _write(stores[0], None, 0)
            for number in range(1, 20):
                written = await _write(stores[number % 2], last.version, number)
                assert written.version > last.version
                last = written

    async def test_keys_do_not_meet(self) -> None:
        async with self.opened() as store:
            first = await _write(store, None, 1)
            assert await store.load(OTHER) is None
            assert await store.compare_and_set(OTHER, None, sample(2)) is not None
            assert await store.load(KEY) == first

    async def test_somebody_else_sees_what_was_written(self) -> None:
        async with self.opened_twice() as (store, same):
            first = await _write(store, None, 1)
            assert await same.load(KEY) == first
            second = await _write(same, first.version, 2)
            assert await store.load(KEY) == second

    async def test_of_many_writers_one_wins(self) -> None:
        async with self.opened_twice() as stores:
            first = await _write(stores[0], None, 0)
            racers = (stores[n % 2].compare_and_set(KEY, first.version, sample(n)) for n in range(1, 31))
            won = [each for each in await together(*racers) if each is not None]
            assert len(won) == 1, f"{len(won)} of 30 writers were told that they had won"
            assert await stores[1].load(KEY) == won[0]

    async def test_of_many_first_writers_one_wins(self) -> None:
        async with self.opened_twice() as stores:
            racers = (stores[n % 2].compare_and_set(KEY, None, sample(n)) for n in range(30))
            won = [each for each in await together(*racers) if each is not None]
            assert len(won) == 1, f"{len(won)} of 30 writers were told that they had won"
            assert await stores[0].load(KEY) == won[0]

    async def test_no_write_gets_lost(self) -> None:
        """Everybody writes once, trying again until it is done: there is a version of its own for each."""
        written: list[StoredToken] = []

        async def insist(store: TokenStore, number: int) -> None:
            while True:
                found = await store.load(KEY)
                mine = await store.compare_and_set(KEY, found.version if found else None, sample(number))
                if mine is not None:
                    written.append(mine)
                    return

        async with self.opened_twice() as stores:
            await together(*(insist(stores[n % 2], n) for n in range(12)))
            assert len({each.version for each in written}) == 12
            assert await stores[0].load(KEY) == max(written, key=lambda each: each.version)

    async def test_a_cancelled_write_is_done_or_not_and_never_half(self) -> None:
        async with self.opened_twice() as (store, same):
            before = await _write(store, None, 0)
            for number in range(1, 15):
                task = asyncio.create_task(store.compare_and_set(KEY, before.version, sample(number)))
                await asyncio.sleep(number * 0.0003)
                await cancelled(task)
                after = await same.load(KEY)
                assert after is not None
                assert after == before or (after.token == sample(number) and after.version > before.version)
                before = after

    async def test_a_lease_has_one_holder(self) -> None:
        inside, entered = 0, 0

        async def enter(store: TokenStore) -> None:
            nonlocal inside, entered
            async with store.lease(KEY, ttl=TTL):
                inside += 1
                assert inside == 1, "two hold the same lease"
                await asyncio.sleep(0.002)
                inside -= 1
                entered += 1

        async with self.opened_twice() as stores:
            await together(*(enter(stores[n % 2]) for n in range(10)))
            assert entered == 10

    async def test_leases_of_two_keys_do_not_wait_for_each_other(self) -> None:
        async with self.opened() as store, store.lease(KEY, ttl=TTL):
            await _hold_once(store, OTHER)

    async def test_a_lease_keeps_nobody_from_reading_and_writing(self) -> None:
        async with self.opened_twice() as (store, same), store.lease(KEY, ttl=TTL):
            first = await _write(same, None, 1)
            assert await store.load(KEY) == first

    async def test_a_lease_can_be_had_again(self) -> None:
        async with self.opened() as store:
            for _ in range(3):
                await _hold_once(store)

    async def test_an_error_inside_gives_the_lease_back(self) -> None:
        async with self.opened_twice() as (store, same):
            with suppress(ZeroDivisionError):
                async with store.lease(KEY, ttl=TTL):
                    raise ZeroDivisionError
            await _hold_once(same)

    async def test_a_cancelled_holder_gives_the_lease_back(self) -> None:
        async with self.opened_twice() as (store, same):
            inside = asyncio.Event()
            holder = asyncio.create_task(_hold_for_ever(store, inside))
            await inside.wait()
            await cancelled(holder)
            assert holder.cancelled()
            await _hold_once(same)

    async def test_a_holder_whose_time_is_up_gives_the_lease_back(self) -> None:
        async with self.opened_twice() as (store, same):
            with suppress(TimeoutError):
                async with asyncio.timeout(A_WHILE):
                    await _hold_for_ever(store, asyncio.Event())
            await _hold_once(same)
            with anyio.move_on_after(A_WHILE):
                await _hold_for_ever(store, asyncio.Event())
            await _hold_once(same)

    async def test_a_cancelled_waiter_leaves_nothing_behind(self) -> None:
        async with self.opened_twice() as stores:
            async with stores[0].lease(KEY, ttl=TTL):
                waiters = [asyncio.create_task(_hold_once(stores[n % 2])) for n in range(6)]
                await asyncio.sleep(A_WHILE)
                assert not any(waiter.done() for waiter in waiters)
                await cancelled(*waiters)
            for store in stores:
                await _hold_once(store)

    async def test_a_waiter_whose_time_is_up_leaves_nothing_behind(self) -> None:
        async with self.opened_twice() as stores:
            async with stores[0].lease(KEY, ttl=TTL):
                for store in stores:
                    waiter = asyncio.create_task(_wait_in_scope(store))
                    assert await waiter, "the wait ended in another way than by its limit"
            for store in stores:
                await _hold_once(store)

    async def test_a_cancelled_waiter_does_not_keep_the_others_waiting(self) -> None:
        """Cancelled at one moment after another, while they wait, enter, hold and leave."""
        async with self.opened_twice() as stores:
            for step in range(12):
                tasks = [asyncio.create_task(_hold_once(stores[n % 2], seconds=0.001)) for n in range(5)]
                await asyncio.sleep(step * 0.0005)
                await cancelled(*tasks[::2])
                await asyncio.gather(*tasks[1::2])
            await _hold_once(stores[1])

    async def test_nothing_printed_holds_a_secret(self) -> None:
        async with self.opened() as store:
            stored = await _write(store, None, 1)
            for each in (store, stored, stored.token):
                for text in (repr(each), str(each), f"{each}"):
                    assert "secret" not in text, f"the repr of {type(each).__name__} shows a token"

    async def test_it_keeps_the_protocol(self) -> None:
        async with self.opened() as store:
            assert isinstance(store, TokenStore)


async def _write(store: TokenStore, expected: int | None, number: int) -> StoredToken:
    written = await store.compare_and_set(KEY, expected, sample(number))
    assert written is not None, f"a write was refused although the version was {expected}"
    assert written.token == sample(number)
    return written


async def _hold_once(store: TokenStore, key: str = KEY, *, seconds: float = 0.0) -> None:
    async with store.lease(key, ttl=TTL):
        await asyncio.sleep(seconds)


async def _hold_for_ever(store: TokenStore, inside: asyncio.Event) -> None:
    async with store.lease(KEY, ttl=TTL):
        inside.set()
        await asyncio.Event().wait()


async def _wait_in_scope(store: TokenStore) -> bool:
    with anyio.move_on_after(A_WHILE) as scope:
        await _hold_once(store)
    return scope.cancelled_caught

"""Renewals that are shared by calls of different patience, and stores that another client writes to meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iqiyi_async import Endpoints, MemoryTokenStore, Token, TransportError, VideoCloudError
from iqiyi_async._auth import TokenManager
from iqiyi_async.models import StoredToken
from iqiyi_async.protocol.wire import Call, Secrets

from .tools import in_time, until

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


def token(access: str, *, left: float = 3600.0, life: float = 3600.0) -> Token:
    expires = datetime.fromtimestamp(NOW + left, UTC)
    return Token(access, f"refresh of {access}", expires - timedelta(seconds=life), expires)


class Account:
    """A service that gives `a1`, `a2`, ...; what stands in `errors` comes first. It answers while `open` is set."""

    def __init__(self, store: MemoryTokenStore | None = None, impatience: float = 5.0) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.errors: list[VideoCloudError] = []
        self.asked: list[tuple[str, bool]] = []
        self.store = store or MemoryTokenStore()
        self.tokens = TokenManager(
            app_key="key",
            app_secret="secret",
            endpoints=Endpoints(),
            store=self.store,
            send=self.send,
            clock=lambda: NOW,
            random=lambda: 0.5,
            impatience=impatience,
        )

    async def send(self, call: Call[Token], secrets: Secrets, interactive: bool) -> Token:
        self.asked.append((call.operation, interactive))
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        return token(f"a{len(self.asked)}")


def exhausted() -> TransportError:
    error = TransportError("cut", sent=False, operation="authorize")
    error.exhausted = True
    return error


async def test_an_upload_asks_again_when_the_renewal_of_a_hurried_call_gave_up() -> None:
    account = Account()
    account.open.clear()
    account.errors = [exhausted()]
    hurried = asyncio.create_task(account.tokens.token(interactive=True))
    await until(lambda: len(account.asked) == 1)
    patient = asyncio.create_task(account.tokens.token())
    await until(lambda: account.tokens.waiting == 2)
    account.open.set()
    with pytest.raises(TransportError, match="cut"):
        await in_time(hurried)
    assert (await in_time(patient)).token.access_token == "a2"
    assert account.asked == [("authorize", True), ("authorize", False)]


async def test_an_upload_takes_what_the_renewal_of_a_hurried_call_brings() -> None:
    account = Account()
    account.open.clear()
    both = [asyncio.create_task(account.tokens.token(interactive=hurried)) for hurried in (True, False)]
    await until(lambda: account.tokens.waiting == 2)
    account.open.set()
    assert {(await in_time(each)).token.access_token for each in both} == {"a1"}


async def test_a_refusal_of_a_hurried_call_is_one_for_uploads_too() -> None:
    account = Account()
    account.open.clear()
    account.errors = [TransportError("refused", sent=False)]
    both = [asyncio.create_task(account.tokens.token(interactive=hurried)) for hurried in (True, False)]
    await until(lambda: account.tokens.waiting == 2)
    account.open.set()
    for each in both:
        with pytest.raises(TransportError, match="refused"):
            await in_time(each)
    assert len(account.asked) == 1


async def test_a_hurried_call_waits_for_the_renewal_of_an_upload_for_a_short_time_only() -> None:
    account = Account(impatience=0.05)
    account.open.clear()
    patient = asyncio.create_task(account.tokens.token())
    await until(lambda: len(account.asked) == 1)
    with pytest.raises(TransportError, match=r"not renewed yet after 0\.05 s") as caught:
        await in_time(account.tokens.token(interactive=True))
    assert not caught.value.sent
    account.open.set()
    assert (await in_time(patient)).token.access_token == "a1"
    assert len(account.asked) == 1


async def test_a_token_that_was_replaced_already_is_not_replaced_again() -> None:
    account = Account()
    first = await in_time(account.tokens.token())
    second = await in_time(account.tokens.replace(first))
    assert second.token.access_token == "a2"
    assert await in_time(account.tokens.replace(first)) == second
    assert len(account.asked) == 2


class Contested(MemoryTokenStore):
    """Another client writes its own tokens just before each of our writes."""

    def __init__(self, *theirs: Token) -> None:
        super().__init__()
        self._theirs = list(theirs)

    async def compare_and_set(self, key: str, expected: Any, token: Token) -> StoredToken | None:
        if self._theirs:
            now = await self.load(key)
            await super().compare_and_set(key, now.version if now else None, self._theirs.pop(0))
        return await super().compare_and_set(key, expected, token)


async def test_the_token_of_one_who_was_faster_is_taken() -> None:
    account = Account(Contested(token("theirs")))
    assert (await in_time(account.tokens.token())).token.access_token == "theirs"


async def test_a_token_of_another_that_is_over_already_is_replaced() -> None:
    account = Account(Contested(token("old", left=-1)))
    taken = await in_time(account.tokens.token())
    assert taken.token.access_token == "a1"
    assert await account.store.load(account.tokens.account) == taken


async def test_a_store_that_is_never_as_it_was_read_does_not_keep_the_token_back() -> None:
    account = Account(Contested(*(token(f"old {number}", left=-1) for number in range(3))))
    assert (await in_time(account.tokens.token())).token.access_token == "a1"
    stored = await account.store.load(account.tokens.account)
    assert stored is not None
    assert stored.token.access_token == "old 2"

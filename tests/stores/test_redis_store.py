"""Tokens in Redis: the lease that is kept alive, a server that is away, and what errors show."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis", reason="the redis library is not installed")

from redis.asyncio import Redis

from iqiyi_async.errors import ConfigurationError
from iqiyi_async.stores import _redis_client
from iqiyi_async.stores import redis as redis_store
from iqiyi_async.stores.redis import RedisTokenStore

from .helpers import KEY, ROOT, SECRET, child, shown, token

pytestmark = pytest.mark.anyio


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(8)}:"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url, **_redis_client.OPTIONS) as client:
        yield client


@pytest.fixture
async def store(client: Any, prefix: str) -> RedisTokenStore:
    return RedisTokenStore(client, prefix=prefix)


async def is_free(store: RedisTokenStore, within: float) -> bool:
    try:
        async with asyncio.timeout(within), store.lease(KEY, ttl=30):
            return True
    except TimeoutError:
        return False


# The lease.


async def test_a_lease_outlives_its_time_while_it_is_held(store: RedisTokenStore, client: Any, prefix: str) -> None:
    async with store.lease(KEY, ttl=0.3):
        assert not await is_free(RedisTokenStore(client, prefix=prefix), within=1.0)
        assert 0 < await client.pttl(f"{prefix}lease:{KEY}") <= 300
    assert not await client.exists(f"{prefix}lease:{KEY}")


async def test_the_lease_of_a_killed_process_ends_after_its_time(redis_url: str, client: Any) -> None:
    store = RedisTokenStore(client, prefix="test-processes:")
    with child("hold", redis_url, 1) as holder:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        holder.kill()
        await asyncio.to_thread(holder.wait)
        assert not await is_free(store, within=0.2)
        assert await is_free(store, within=5)


async def test_a_lease_that_was_lost_is_not_taken_from_its_new_holder(
    store: RedisTokenStore, client: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{prefix}lease:{KEY}"
    async with store.lease(KEY, ttl=0.3):
        await client.set(name, "somebody else")
        await asyncio.sleep(0.25)
    assert await client.get(name) == b"somebody else"
    assert [each.levelname for each in caplog.records if each.name.startswith("iqiyi_async")] == ["WARNING"]


async def test_a_cancelled_wait_leaves_no_key_and_no_broken_connection(redis_url: str, prefix: str) -> None:
    async with Redis.from_url(redis_url, **_redis_client.OPTIONS, max_connections=4) as client:
        store = RedisTokenStore(client, prefix=prefix)
        for step in range(60):
            lease = store.lease(KEY, ttl=30)
            entering = asyncio.create_task(lease.__aenter__())
            await asyncio.sleep(step * 0.00003)
            entering.cancel()
            await asyncio.wait([entering], timeout=5)
            if not entering.cancelled():
                await lease.__aexit__(None, None, None)
            assert not await client.exists(f"{prefix}lease:{KEY}")
            assert await client.echo(f"step {step}") == f"step {step}".encode()


# What is kept.


async def test_content_that_cannot_be_read_counts_as_none(store: RedisTokenStore, client: Any, prefix: str) -> None:
    name = f"{prefix}token:{KEY}"
    first = await store.compare_and_set(KEY, None, token())
    assert first is not None
    for damage in ({"token": "{torn"}, {"version": "soon"}, {"token": "[1]"}, {"token": b"\xff\xfe"}):
        await client.hset(name, mapping=damage)
        assert await store.load(KEY) is None
        assert await store.compare_and_set(KEY, first.version + 1000, token(1)) is None
        after = await store.compare_and_set(KEY, None, token(1))
        assert after is not None
        assert after.version > first.version
        assert await store.load(KEY) == after
        first = after


async def test_versions_grow_although_the_server_lost_everything(
    store: RedisTokenStore, client: Any, prefix: str
) -> None:
    first = await store.compare_and_set(KEY, None, token())
    await client.delete(f"{prefix}token:{KEY}")
    after = await store.compare_and_set(KEY, None, token())
    assert first is not None
    assert after is not None
    assert after.version > first.version


# Clients.


async def test_a_client_that_was_given_stays_open(store: RedisTokenStore, client: Any) -> None:
    async with store:
        await store.load(KEY)
    connected = await client.client_id()
    await store.aclose()
    assert await client.client_id() == connected


async def test_its_own_client_is_closed(redis_url: str, client: Any, prefix: str) -> None:
    before = await connections(client)
    async with RedisTokenStore(redis_url, prefix=prefix) as store:
        await store.load(KEY)
        assert await connections(client) == before + 1
    async with asyncio.timeout(5):
        while await connections(client) != before:
            await asyncio.sleep(0.01)


async def connections(client: Any) -> int:
    return len(await client.client_list())


@pytest.mark.parametrize("url", ["localhost:6379", "http://:canary-password@localhost", "redis://[:canary-password"])
async def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://localhost:6379/0") as caught:
        RedisTokenStore(url)
    del url  # this test's own frame is not what is asked about
    assert SECRET not in shown(caught.value)


async def test_the_repr_shows_no_url() -> None:
    assert repr(RedisTokenStore("redis://:canary-password@localhost")) == (
        "<RedisTokenStore with the prefix 'iqiyi-async:'>"
    )


# A server that is away, silent, or refuses.


async def test_a_server_that_is_away_is_a_connection_error_without_secrets(tmp_path: Path) -> None:
    store = RedisTokenStore(f"unix://{tmp_path}/nobody")
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="can't be reached") as caught:
        await store.compare_and_set(KEY, None, token())
    assert SECRET not in shown(caught.value)
    with pytest.raises(ConnectionError):
        await store.load(KEY)
    with pytest.raises(ConnectionError):
        async with store.lease(KEY, ttl=1):
            pass
    assert time.monotonic() - started < 2, "the store waits for a server that is away"
    await store.aclose()


async def test_a_silent_server_is_a_timeout_and_keeps_nobody_from_being_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with RedisTokenStore(f"redis://127.0.0.1:{port}") as store:
            entering = asyncio.create_task(store.compare_and_set(KEY, None, token()))
            await asyncio.sleep(0.05)
            entering.cancel()
            await asyncio.wait([entering], timeout=1)
            assert entering.cancelled()
            monkeypatch.setattr(redis_store, "PATIENCE", 0.2)
            with pytest.raises(TimeoutError, match="did not answer") as caught:
                await store.compare_and_set(KEY, None, token())
            assert SECRET not in shown(caught.value)


async def test_a_refusal_does_not_repeat_the_command(redis_url: str, client: Any, prefix: str) -> None:
    await client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-eval")
    async with RedisTokenStore(f"{redis_url}?username=reader&password=any", prefix=prefix) as store:
        with pytest.raises(OSError, match="Redis refused: NoPermissionError") as caught:
            await store.compare_and_set(KEY, None, token())
        assert SECRET not in shown(caught.value)
        assert prefix not in str(caught.value)
        assert await store.load(KEY) is None


async def test_a_key_of_another_kind_is_an_error(store: RedisTokenStore, client: Any, prefix: str) -> None:
    await client.set(f"{prefix}token:{KEY}", "a string")
    with pytest.raises(OSError, match="WRONGTYPE"):
        await store.load(KEY)


async def test_a_lease_that_cannot_be_prolonged_or_given_back_disturbs_nobody(
    redis_url: str, client: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await client.execute_command("ACL", "SETUSER", "holder", "on", "nopass", "~*", "+@all")
    async with RedisTokenStore(f"{redis_url}?username=holder&password=any", prefix=prefix) as store:
        with caplog.at_level(logging.INFO, logger="iqiyi_async"):
            async with store.lease(KEY, ttl=0.3):
                await client.execute_command("ACL", "SETUSER", "holder", "-eval")
                await asyncio.sleep(0.25)
        said = [each.message for each in caplog.records if each.name.startswith("iqiyi_async")]
    assert any("could not be prolonged" in each for each in said)
    assert "not given back" in said[-1]


async def test_without_the_library_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "import iqiyi_async.stores as s\n"
        "try:\n    s.RedisTokenStore('redis://localhost')\n"
        "except ImportError as e:\n    print(e)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False
    )
    assert "pip install 'iqiyi-async[redis]'" in done.stdout, done.stderr

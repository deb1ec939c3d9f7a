"""One connection over a real socket: the size of its writes, and when it may be used again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from iqiyi_async.transport import http11
from iqiyi_async.transport.http11 import LEAST, MOST, PIECE, Http11
from iqiyi_async.transport.outcome import Patience, StalledError

pytestmark = pytest.mark.anyio

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIZE = 4 * MOST
PATIENCE = Patience(10, 10, 10)


@asynccontextmanager
async def connected(after: int) -> AsyncGenerator[Http11]:
    """A connection to a server that answers after so many bytes of a body, and then waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(after)
                writer.write(FINE)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        connection = await Http11.connect("127.0.0.1", server.sockets[0].getsockname()[1], None)
        try:
            yield connection
        finally:
            connection.abort()
            await asyncio.sleep(0)


async def send(connection: Http11, size: int) -> list[int]:
    """Send a body; the sizes of its pieces."""
    told: list[int] = []
    headers = (("Host", "h"), ("Content-Length", str(size)))
    reply = await connection.exchange(
        "POST", "/", headers, (bytes(size),), patience=PATIENCE, most=100, on_sent=told.append
    )
    assert reply.content == b"ok"
    assert sum(told) == size
    return told


async def test_pieces_grow_while_the_peer_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "QUICK", float("inf"))
    async with connected(SIZE) as connection:
        assert await send(connection, SIZE) == [PIECE, 2 * PIECE, MOST, MOST, MOST, SIZE - 3 * PIECE - 3 * MOST]
        assert (await send(connection, SIZE))[0] == MOST, "what was learned holds for the next request"


async def test_pieces_shrink_while_the_peer_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "QUICK", -1.0)
    monkeypatch.setattr(http11, "SLOW", -1.0)
    async with connected(SIZE) as connection:
        told = await send(connection, SIZE)
    assert told[:2] == [PIECE, PIECE // 2]
    assert set(told[2:]) == {LEAST}


async def test_a_peer_that_takes_little_by_little_has_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One write of 1 MiB takes it far longer than a peer may stand still."""
    monkeypatch.setattr(http11, "PIECE", MOST)

    async def sip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = SIZE
        while left:
            left -= len(await reader.read(min(left, 32 * 1024)))
            await asyncio.sleep(0.01)
        writer.write(FINE)
        writer.close()

    server = await asyncio.start_server(sip, "127.0.0.1", 0, limit=1024)
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
    async with server:
        connection = await Http11.connect("127.0.0.1", server.sockets[0].getsockname()[1], None)
        # The system's own buffers of a slow link are small, too.
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        headers = (("Host", "h"), ("Content-Length", str(SIZE)))
        began = time.monotonic()
        try:
            reply = await connection.exchange(
                "POST", "/", headers, (bytes(SIZE),), patience=Patience(0.2, 0.2, 30), most=100
            )
        finally:
            connection.abort()
            await asyncio.sleep(0)
    assert reply.status == 200
    assert time.monotonic() - began > 0.8, "it was not slow at all"


async def test_a_peer_that_takes_nothing_more_has_stalled() -> None:
    async def gulp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        await stop.wait()
        writer.close()

    stop = asyncio.Event()
    server = await asyncio.start_server(gulp, "127.0.0.1", 0, limit=1024)
    async with server:
        connection = await Http11.connect("127.0.0.1", server.sockets[0].getsockname()[1], None)
        headers = (("Host", "h"), ("Content-Length", "100000000"))
        began = time.monotonic()
        with pytest.raises(StalledError):
            await connection.exchange(
                "POST", "/", headers, (bytes(100_000_000),), patience=Patience(0.2, 0.2, 30), most=100
            )
        assert 0.2 <= time.monotonic() - began < 1.0
        connection.abort()
        await asyncio.sleep(0)
        stop.set()


async def test_connection_can_be_used_again_when_everything_is_said() -> None:
    async with connected(10) as connection:
        assert connection.reusable
        await send(connection, 10)
        assert connection.reusable
        await send(connection, 10)


async def test_connection_that_owes_the_rest_of_a_body_can_not() -> None:
    async with connected(10) as connection:
        headers = (("Host", "h"), ("Content-Length", "100000000"))
        reply = await connection.exchange("POST", "/", headers, (bytes(100_000_000),), patience=PATIENCE, most=100)
        assert reply.status == 200
        assert not connection.reusable


async def test_cancelled_exchange_leaves_a_connection_that_can_not() -> None:
    async with connected(10) as connection:
        headers = (("Host", "h"), ("Content-Length", "10"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.exchange("POST", "/", headers, (bytes(5),), patience=PATIENCE, most=100)
        assert not connection.reusable

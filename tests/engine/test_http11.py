"""One connection over a real socket: the size of its writes, and when it may be used again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iqiyi_async.transport import Connector, NameService
from iqiyi_async.transport.connection.exchange import StalledError, Timeouts
from iqiyi_async.transport.connection.http11 import LEAST, MOST, PIECE, Http11

pytestmark = pytest.mark.anyio

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIZE = 4 * MOST
TIMEOUTS = Timeouts(10, 10, 10)


async def connect(server: asyncio.Server, **options: Any) -> Http11:
    connector = Connector(NameService(), protocol=lambda tls: Http11(**options))
    return await connector.connect("http", "127.0.0.1", server.sockets[0].getsockname()[1], 10)


@asynccontextmanager
async def connected(after: int, **options: Any) -> AsyncGenerator[Http11]:
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
        connection = await connect(server, **options)
        try:
            yield connection
        finally:
            connection.abort()
            await asyncio.sleep(0)


async def send(connection: Http11, size: int) -> list[int]:
    """Send a body; the sizes of its pieces."""
    told: list[int] = []
    headers = ((b"Host", b"h"), (b"Content-Length", b"%d" % size))
    reply = await connection.exchange(
        b"POST", b"/", headers, (bytes(size),), timeouts=TIMEOUTS, most=100, on_sent=told.append
    )
    assert reply.content == b"ok"
    assert sum(told) == size
    return told


async def test_pieces_grow_while_the_peer_is_quick() -> None:
    async with connected(SIZE, quick=float("inf")) as connection:
        assert await send(connection, SIZE) == [PIECE, 2 * PIECE, MOST, MOST, MOST, SIZE - 3 * PIECE - 3 * MOST]
        assert (await send(connection, SIZE))[0] == MOST, "what was learned holds for the next request"


async def test_pieces_shrink_while_the_peer_is_slow() -> None:
    async with connected(SIZE, quick=-1.0, slow=-1.0) as connection:
        told = await send(connection, SIZE)
    assert told[:2] == [PIECE, PIECE // 2]
    assert set(told[2:]) == {LEAST}


async def test_a_peer_that_takes_little_by_little_has_not_stalled() -> None:
    """One write of 1 MiB takes it far longer than a peer may stand still."""

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
        connection = await connect(server, piece=MOST)
        # The system's own buffers of a slow link are small, too.
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        headers = ((b"Host", b"h"), (b"Content-Length", b"%d" % SIZE))
        began = time.monotonic()
        try:
            reply = await connection.exchange(
                b"POST", b"/", headers, (bytes(SIZE),), timeouts=Timeouts(0.2, 0.2, 30), most=100
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
        connection = await connect(server)
        headers = ((b"Host", b"h"), (b"Content-Length", b"100000000"))
        began = time.monotonic()
        with pytest.raises(StalledError):
            await connection.exchange(
                b"POST", b"/", headers, (bytes(100_000_000),), timeouts=Timeouts(0.2, 0.2, 30), most=100
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
        headers = ((b"Host", b"h"), (b"Content-Length", b"100000000"))
        reply = await connection.exchange(b"POST", b"/", headers, (bytes(100_000_000),), timeouts=TIMEOUTS, most=100)
        assert reply.status == 200
        assert not connection.reusable


async def test_cancelled_exchange_leaves_a_connection_that_can_not() -> None:
    async with connected(10) as connection:
        headers = ((b"Host", b"h"), (b"Content-Length", b"10"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.exchange(b"POST", b"/", headers, (bytes(5),), timeouts=TIMEOUTS, most=100)
        assert not connection.reusable


@pytest.mark.parametrize("size", [50_000, 700_000])
async def test_writes_wait_until_they_are_allowed(size: int) -> None:
    """A limit of bytes a second: heads do not count, and waiting for it is not being late."""
    given: list[int] = []

    async def allow(most: int) -> int:
        await asyncio.sleep(0.02)
        given.append(min(most, size // 20))
        return given[-1]

    told: list[int] = []
    short = Timeouts(0.1, 0.1, 0.2)
    async with connected(size) as connection:
        headers = ((b"Host", b"h"), (b"Content-Length", b"%d" % size))
        body = (b"--x\r\n", bytes(size - 12), b"--x--\r\n")
        for _ in range(2):
            reply = await connection.exchange(
                b"POST", b"/", headers, body, timeouts=short, most=100, on_sent=told.append, allow=allow
            )
            assert reply.content == b"ok"
    assert told == given
    assert sum(told) == 2 * size
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "iqiyi-async pace"]


async def test_an_answer_ends_what_waits_to_be_allowed() -> None:
    async def never(most: int) -> int:
        if asked:
            await asyncio.Event().wait()
        asked.append(most)
        return 10

    asked: list[int] = []
    async with connected(10) as connection:
        headers = ((b"Host", b"h"), (b"Content-Length", b"1000"))
        reply = await connection.exchange(
            b"POST", b"/", headers, (bytes(1000),), timeouts=TIMEOUTS, most=100, allow=never
        )
        assert reply.content == b"ok"
        assert not connection.reusable


async def test_a_limit_that_fails_is_heard() -> None:
    async def broken(most: int) -> int:
        raise LookupError("the caller's")

    async with connected(10) as connection:
        headers = ((b"Host", b"h"), (b"Content-Length", b"10"))
        with pytest.raises(LookupError):
            await connection.exchange(b"POST", b"/", headers, (bytes(10),), timeouts=TIMEOUTS, most=100, allow=broken)

"""One connection over a real socket: the size of its writes, and when it may be used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from iqiyi_async._transport import http11
from iqiyi_async._transport.exchange import Patience
from iqiyi_async._transport.http11 import LEAST, MOST, PIECE, Http11

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
    headers = [(b"Host", b"h"), (b"Content-Length", str(size).encode())]
    reply = await connection.exchange(
        b"POST", b"/", headers, (bytes(size),), patience=PATIENCE, most=100, on_sent=told.append
    )
    assert reply.content == b"ok"
    assert sum(told) == size
    return told


async def test_pieces_grow_while_the_peer_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "QUICK", float("inf"))
    async with connected(SIZE) as connection:
        # The head is a piece, too, and was taken.
        assert await send(connection, SIZE) == [2 * PIECE, MOST, MOST, MOST, SIZE - 2 * PIECE - 3 * MOST]
        assert (await send(connection, SIZE))[0] == MOST, "what was learned holds for the next request"


async def test_pieces_shrink_while_the_peer_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "QUICK", -1.0)
    monkeypatch.setattr(http11, "SLOW", -1.0)
    async with connected(SIZE) as connection:
        told = await send(connection, SIZE)
    assert told[0] == PIECE // 2
    assert set(told[1:]) == {LEAST}


async def test_connection_can_be_used_again_when_everything_is_said() -> None:
    async with connected(10) as connection:
        assert connection.reusable
        await send(connection, 10)
        assert connection.reusable
        await send(connection, 10)


async def test_connection_that_owes_the_rest_of_a_body_can_not() -> None:
    async with connected(10) as connection:
        headers = [(b"Host", b"h"), (b"Content-Length", b"100000000")]
        reply = await connection.exchange(b"POST", b"/", headers, (bytes(100_000_000),), patience=PATIENCE, most=100)
        assert reply.status == 200
        assert not connection.reusable


async def test_cancelled_exchange_leaves_a_connection_that_can_not() -> None:
    async with connected(10) as connection:
        headers = [(b"Host", b"h"), (b"Content-Length", b"10")]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.exchange(b"POST", b"/", headers, (bytes(5),), patience=PATIENCE, most=100)
        assert not connection.reusable

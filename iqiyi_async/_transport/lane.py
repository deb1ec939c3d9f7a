"""A lane as an httpx transport: one connection, one request at a time, a body that is sent from where it is."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from ..config import KIB
from ..protocol.wire import Body
from .http11 import BrokenError, Http11, StalledError

#: One write. Small enough that neither it nor the stall timer around it takes long, large enough that calls do not
#: count.
PIECE = 256 * KIB

#: Idle connections are closed before usual servers do it (nginx: 75 s), so that a request seldom meets one just
#: closed.
KEEPALIVE = 25.0


class SealedRequest(httpx.Request):
    """A request that prints neither its query nor its headers: it stands in frames that a traceback may show."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.method!r})>"


class Pieces(httpx.AsyncByteStream):
    """A body in pieces. `on_sent` hears of a piece when the network has taken it."""

    def __init__(self, body: Body, on_sent: Callable[[int], None] | None) -> None:
        self._body = body
        self._on_sent = on_sent

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._views(bytes)

    async def _views(self, form: Callable[[memoryview], Any]) -> AsyncGenerator[Any, None]:
        for part in self._body:
            view = memoryview(part)
            for start in range(0, len(view), PIECE):
                piece = view[start : start + PIECE]
                yield form(piece)
                if self._on_sent is not None:
                    self._on_sent(len(piece))

    def uncopied(self) -> AsyncIterator[memoryview]:
        """The same pieces where they are, for a transport that is done with each before it asks for the next."""
        return self._views(memoryview)


class LaneTransport(httpx.AsyncBaseTransport):
    """One connection as an httpx transport. One request at a time; after any trouble it is closed with its
    connection."""

    def __init__(self, tls: Callable[[], Awaitable[ssl.SSLContext]]) -> None:
        self._tls = tls
        self._connection: Http11 | None = None
        self._origin = ("", "", 0)
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout: dict[str, float] = request.extensions["timeout"]
        stream = request.stream
        assert isinstance(stream, Pieces)
        try:
            connection = await self._connect(request.url, timeout["connect"])
            target, stall = request.url.raw_path, timeout["write"]
            await connection.send(request.method.encode(), target, request.headers.raw, stream.uncopied(), stall=stall)
            status, headers = await connection.head(stall=timeout["read"])
        except StalledError:
            raise httpx.ReadTimeout("nothing moved") from None
        except BrokenError as problem:
            raise httpx.RemoteProtocolError(str(problem)) from None
        return httpx.Response(status, headers=headers, stream=_Answer(connection, timeout["read"]))

    async def aclose(self) -> None:
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _connect(self, url: httpx.URL, seconds: float) -> Http11:
        port = url.port or (443 if url.scheme == "https" else 80)
        origin = (url.scheme, url.host, port)
        kept = self._connection
        if kept is not None and origin == self._origin and kept.reusable and kept.idle_for < KEEPALIVE:
            return kept
        self._hang_up()
        tls = await self._tls() if url.scheme == "https" else None
        try:
            async with asyncio.timeout(seconds):
                self._connection = await Http11.connect(url.host, port, tls)
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as problem:
            raise httpx.ConnectError(reason(problem)) from None
        self._origin = origin
        if self._closed:
            # While the connection was being made: nobody else would close it.
            self._hang_up()
            raise httpx.ConnectError("the transport was closed")
        return self._connection


class _Answer(httpx.AsyncByteStream):
    """The body of an answer from a lane's connection."""

    def __init__(self, connection: Http11, stall: float) -> None:
        self._connection = connection
        self._stall = stall

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._connection.body(stall=self._stall):
                yield part
        except StalledError:
            raise httpx.ReadTimeout("nothing moved") from None
        except BrokenError as problem:
            raise httpx.RemoteProtocolError(str(problem)) from None


def reason(problem: OSError) -> str:
    """What the system, or TLS, says of an error."""
    if isinstance(problem, ssl.SSLError):
        return str(problem)
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)

"""A lane as an httpx transport: one connection, one request at a time, a body that is sent from where it is."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from ..config import MIB
from ..protocol.wire import Body
from .exchange import BrokenError, Patience, StalledError
from .http11 import PIECE, Http11

#: No answer of the service has a reason to be longer: a full page of 100 videos has some 100 KiB.
MAX_ANSWER = 2 * MIB

#: The extension of a request that says how long the exchange may take as a whole, in seconds.
WHOLE = "whole"

#: Idle connections are closed before usual servers do it (nginx: 75 s), so that a request seldom meets one just
#: closed.
KEEPALIVE = 25.0


class SealedRequest(httpx.Request):
    """A request that prints neither its query nor its headers: it stands in frames that a traceback may show."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.method!r})>"


class Pieces(httpx.AsyncByteStream):
    """A body in parts. `on_sent` hears how many bytes of it the network has taken."""

    def __init__(self, parts: Body, on_sent: Callable[[int], None] | None) -> None:
        self.parts = parts
        self.on_sent = on_sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            view = memoryview(part)
            for start in range(0, len(view), PIECE):
                piece = bytes(view[start : start + PIECE])
                yield piece
                if self.on_sent is not None:
                    self.on_sent(len(piece))


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
        body = request.stream
        assert isinstance(body, Pieces)
        connection = await self._connect(request.url, timeout["connect"])
        try:
            reply = await connection.exchange(
                request.method.encode(),
                request.url.raw_path,
                request.headers.raw,
                body.parts,
                patience=Patience(timeout["write"], timeout["read"], request.extensions[WHOLE]),
                most=MAX_ANSWER,
                on_sent=body.on_sent,
            )
        except StalledError:
            raise httpx.ReadTimeout("nothing moved") from None
        except BrokenError as problem:
            raise httpx.RemoteProtocolError(str(problem)) from None
        return httpx.Response(reply.status, headers=reply.headers, stream=httpx.ByteStream(reply.content))

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


def reason(problem: OSError) -> str:
    """What the system, or TLS, says of an error."""
    if isinstance(problem, ssl.SSLError):
        return str(problem)
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)

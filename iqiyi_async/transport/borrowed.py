"""An httpx transport of the caller's (a proxy, a mock, another HTTP library), and the authorities that httpx trusts.

The only module that knows httpx. It is loaded when it is needed: it takes as long as all the rest.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import anyio
import httpx

from ..protocol.wire import Body
from .carrier import Errand
from .http11 import PIECE
from .outcome import NoAnswerError, Reply

#: What a caller may bring in place of this library's own connections.
Transport = httpx.AsyncBaseTransport

#: No connection was made, or none was to be had: nothing has been sent.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def trust() -> ssl.SSLContext:
    """A TLS context with httpx's authorities, or those that ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name."""
    return httpx.create_ssl_context()


class SealedRequest(httpx.Request):
    """A request that prints neither its query nor its headers: it stands in frames that a traceback may show."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.method!r})>"


class Pieces(httpx.AsyncByteStream):
    """A body in parts. `on_sent` hears how many bytes of it the network has taken."""

    def __init__(self, parts: Body, on_sent: Callable[[int], None] | None) -> None:
        self._parts = parts
        self._on_sent = on_sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            view = memoryview(part)
            for start in range(0, len(view), PIECE):
                piece = bytes(view[start : start + PIECE])
                yield piece
                if self._on_sent is not None:
                    self._on_sent(len(piece))


class Borrowed:
    """A transport that the caller has brought, and closes."""

    def __init__(self, transport: Transport, connect_timeout: float) -> None:
        self._transport = transport
        self._connect_timeout = connect_timeout

    async def carry(self, errand: Errand) -> Reply:
        """Send a request and read its answer (see `Carrier`)."""
        outgoing, patience = errand.outgoing, errand.patience
        request = SealedRequest(
            outgoing.method,
            outgoing.url,
            headers=list(errand.headers),
            stream=Pieces(outgoing.body, errand.on_sent),
            extensions={
                "timeout": {
                    "connect": self._connect_timeout,
                    "pool": self._connect_timeout + patience.taking,
                    "write": patience.taking,
                    "read": patience.answering,
                }
            },
        )
        if not outgoing.body:
            # Some send any other stream in chunks, even if nothing comes out of it.
            request.stream = httpx.ByteStream(b"")
            request.read()
        try:
            async with asyncio.timeout(patience.whole):
                return await self._ask(request, errand.most)
        except httpx.TransportError as problem:
            why = str(problem) or type(problem).__name__
            raise NoAnswerError(why, sent=not isinstance(problem, _NEVER_SENT)) from problem

    async def aclose(self) -> None:
        """The transport stays open: it is the caller's."""

    async def _ask(self, request: httpx.Request, most: int) -> Reply:
        response = await self._transport.handle_async_request(request)
        try:
            content = await _read(response, most)
        except BaseException:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await response.aclose()
            raise
        await response.aclose()
        return Reply(response.status_code, response.headers.raw, content)


async def _read(response: httpx.Response, most: int) -> bytes:
    """The body of an answer, up to the first piece that makes it too long."""
    content = bytearray()
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    async for part in stream:
        content += part
        if len(content) > most:
            break
    return bytes(content)

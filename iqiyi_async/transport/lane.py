"""A connection of our own as an `httpx.AsyncBaseTransport`: made with its first request, kept alive, closed after the
first trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx

from ..config import MIB
from .connection.dial import Connector, reason
from .connection.exchange import BrokenError, StalledError, Timeouts
from .connection.http11 import Http11
from .request import RawHeaders, RequestBody, SealedRequest

#: Idle connections are closed before usual servers do it (nginx: 75 s), so that a request seldom meets one just
#: closed.
KEEPALIVE = 25.0

#: A kept connection that ends without a byte of an answer so soon after the first write was closed before, in seconds.
STALE_SECONDS = 1.0

#: What a server says to a kept connection that it gives up, just when a request comes (RFC 9110, 15.5.9 and 15.5.20):
#: the request may be sent over another one.
_GIVEN_UP = (408, 421)

OnSent = Callable[[int], None]


class StaleConnectionError(httpx.RemoteProtocolError):
    """A kept connection had been closed before the request was sent over it."""


class WholeBody(httpx.AsyncByteStream):
    """The body of an answer that was read whole.

    Attributes:
        content: the body.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


class SealedResponse(RawHeaders, httpx.Response):
    """An answer that was read whole. It does not print itself: it may hold a token, and futures print their results."""

    def __init__(self, status: int, raw_headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        super().__init__(status, stream=WholeBody(content))
        self._hold(raw_headers)

    def __repr__(self) -> str:
        return f"<an answer with HTTP {self.status_code}>"


class LaneTransport(httpx.AsyncBaseTransport):
    """One connection, for one request at a time.

    A request brings its target in ``extensions["target"]`` and its waits in ``extensions["timeout"]``, as for other
    transports; a `RequestBody` is sent from where it is, neither iterated nor copied. The answer comes whole;
    ``extensions["most"]`` takes the place of `most`.

    Args:
        connector: makes connections.
        most: bytes of an answer that are read; a longer one ends after them.
        idle: seconds without a request after which a connection is not used again.
    """

    def __init__(self, connector: Connector, *, most: int = 2 * MIB, idle: float = KEEPALIVE) -> None:
        self._connector = connector
        self._most = most
        self._idle = idle
        self._connection: Http11 | None = None
        self._origin: tuple[str, bytes, int | None] | None = None
        self._closed = False

    @property
    def reusable(self) -> bool:
        """Whether there is a connection that another request may be sent over, as far as that is known."""
        return self._connection is not None and self._connection.reusable

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer.

        Raises:
            httpx.ConnectError: no connection could be made.
            StaleConnectionError: a kept connection had been closed before.
            httpx.TransportError: there was no whole answer.
            OSError: the system refused.
        """
        url, extensions = request.url, request.extensions
        timeout = extensions.get("timeout", {})
        origin = (url.scheme, url.raw_host, url.port)
        connection = self._connection
        reused = connection is not None and origin == self._origin and await connection.is_usable(self._idle)
        if not reused or connection is None:
            connection = await self._connect(origin, timeout.get("connect") or 10.0)
        stream = request.stream
        whole = False
        try:
            if isinstance(stream, RequestBody):
                parts, on_sent, allow = stream.parts, cast("OnSent", stream.sent), stream.allow
            else:
                parts, on_sent, allow = await _parts(stream), None, None
            reply = await connection.exchange(
                request.method.encode(),
                extensions.get("target") or url.raw_path,
                request.raw_headers if isinstance(request, SealedRequest) else request.headers.raw,
                parts,
                timeouts=Timeouts.of(timeout),
                most=extensions.get("most") or self._most,
                on_sent=on_sent,
                allow=allow if parts else None,
            )
            whole = True
        except StalledError as problem:
            raise httpx.ReadTimeout(str(problem)) from problem
        except TimeoutError as problem:
            raise httpx.ReadTimeout(f"nothing whole within {timeout.get('total', 0):.0f} s") from problem
        except BrokenError as problem:
            stale = reused and connection.unanswered_for < STALE_SECONDS
            raise (StaleConnectionError if stale else httpx.RemoteProtocolError)(str(problem)) from problem
        finally:
            if not whole:
                # After an error or a cancellation nobody knows what state the connection is in.
                self._hang_up()
        if reused and reply.status in _GIVEN_UP:
            self._hang_up()
            raise StaleConnectionError(f"the kept connection was given up (HTTP {reply.status})")
        return SealedResponse(reply.status, reply.headers, reply.content)

    def close(self) -> None:
        """Close the connection now. One that is just being made is closed when it is there."""
        self._closed = True
        self._hang_up()

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _connect(self, origin: tuple[str, bytes, int | None], seconds: float) -> Http11:
        self._hang_up()
        scheme, host, port = origin
        default = 443 if scheme == "https" else 80
        try:
            connection = await self._connector.connect(scheme, host.decode("ascii"), port or default, seconds)
        except TimeoutError as problem:
            raise httpx.ConnectTimeout("no connection in time") from problem
        except OSError as problem:
            raise httpx.ConnectError(reason(problem)) from problem
        if self._closed:
            # While the connection was being made: nobody else would close it.
            connection.abort()
            raise httpx.ConnectError("the connection was closed")
        self._connection, self._origin = connection, origin
        return connection


async def _parts(stream: object) -> tuple[bytes, ...]:
    """A body that is not ours, read whole."""
    if isinstance(stream, httpx.ByteStream):
        return tuple(stream)
    if not isinstance(stream, httpx.AsyncByteStream):
        raise httpx.UnsupportedProtocol("the body of the request can't be read in an event loop")
    return tuple([part async for part in stream])

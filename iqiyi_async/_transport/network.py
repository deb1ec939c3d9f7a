"""One request out, one answer in, within deadlines and size limits; and what all connections of a client share."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

import anyio
import attrs
import httpx

from ..config import KIB, MIB
from ..errors import ConfigurationError, ResponseError, TransportError
from ..protocol.hosts import is_private_address, origin
from ..protocol.wire import Answer, Outgoing, Request, Vault, fill
from .frames import bare
from .http11 import PIECE
from .lane import MAX_ANSWER, WHOLE, LaneTransport, Pieces, SealedRequest, reason

#: The slowest link that is waited for, in bytes a second, while what was written drains from the system's buffers.
SLOWEST_DRAIN = 64 * KIB
_MOST_BUFFERED = 4 * MIB

_USER_AGENT = "iqiyi-async"


@attrs.frozen
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        connect: for a connection.
        stall: for any sign of life once there is one.
    """

    connect: float
    stall: float

    def for_answer(self, body_size: int) -> float:
        """For the first byte of the answer: the body may still be in the system's buffers when the last write is
        done."""
        return self.stall + min(body_size, _MOST_BUFFERED) / SLOWEST_DRAIN

    def in_all(self, body_size: int) -> float:
        """For the whole exchange, so that a peer that drips single bytes does not hold a lane for ever."""
        return self.connect + self.stall * (2 + body_size // PIECE) + 2 * self.for_answer(body_size)


class Network:
    """What all connections of a client share: the trust of TLS, the deadlines, and a transport that the caller may
    have brought."""

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        trusted: frozenset[str],
        public: bool,
        clock: Callable[[], float],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.trusted = trusted
        self.clock = clock
        self.borrowed = transport
        self._guard_names = public and transport is None
        self._known_names: set[str] = set()
        self.closed = False
        self._tls: ssl.SSLContext | None = None

    def connection(self) -> Connection:
        """A connection of its own; made when it is first used."""
        return Connection(self)

    async def tls(self) -> ssl.SSLContext:
        """One context for all connections: making one reads a file and takes some 20 ms, so it is done once, in a
        thread."""
        if self._tls is None:
            self._tls = await anyio.to_thread.run_sync(httpx.create_ssl_context)
        return self._tls

    async def check_name(self, url: str) -> None:
        """Refuse a name, given by the service, that leads to a private address while the configured service is
        public.

        Raises:
            TransportError: the name can't be resolved.
            ResponseError: it is private.
        """
        where = origin(url)
        if not self._guard_names or where in self.trusted or where in self._known_names:
            return
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(self.timeouts.connect):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as problem:
            why = str(problem) or "no answer in time"
            raise TransportError(f"the host {host} was not found: {why}", sent=False) from bare(problem, None)
        if any(is_private_address(str(address[0])) for *_, address in found):
            raise ResponseError(f"the service named the host {host}, which leads to a private address", status=200)
        self._known_names.add(where)


class Connection:
    """One connection to one host at a time, kept alive between requests; for one request at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._transport: LaneTransport | None = None

    async def send(
        self,
        request: Request,
        secrets: Vault,
        on_sent: Callable[[int], None] | None = None,
    ) -> Answer:
        """Send a request and read its answer whole. Redirects are not followed.

        Args:
            request: what goes out.
            secrets: what goes into its places for secrets.
            on_sent: hears, for each piece of the body, how many bytes the network has taken.

        Raises:
            TransportError: no whole answer came, in time; `sent` says whether the request may have arrived.
            ResponseError: the answer is too long.
        """
        if self._network.closed:
            raise ConfigurationError("the client is closed; make a new one")
        await self._network.check_name(request.url)
        outgoing = fill(request, secrets, self._network.trusted)
        asked_at = self._network.clock()
        outside = sys.exception()
        whole = False
        try:
            status, headers, content = await self._exchange(outgoing, request.body_size, on_sent)
            whole = True
        except TimeoutError as problem:
            bare(problem, outside)
            where, limit = origin(request.url), self._network.timeouts.in_all(request.body_size)
            raise TransportError(f"no whole answer from {where} within {limit:.0f} s", sent=True) from None
        except (httpx.TransportError, OSError) as problem:
            raise _transport_error(problem, request.url) from bare(problem, outside)
        except BaseException as problem:  # noqa: BLE001 - raised again at once
            # Cancellations too: whoever prints one with its frames would print the request.
            raise bare(problem, outside)  # noqa: B904 - the same exception
        finally:
            if not whole:
                # After an error or a cancellation nobody knows what state the connection is in (httpcore 1.0 keeps
                # slots for ever that task.cancel() interrupted): it is closed, and a new one made when it is needed.
                await self.aclose()
        return Answer(status, content, asked_at, headers.get("retry-after"))

    async def aclose(self) -> None:
        """Close the connection. It may be used again: a new one is made then."""
        transport, self._transport = self._transport, None
        if transport is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await transport.aclose()

    async def _exchange(
        self, outgoing: Outgoing, size: int, on_sent: Callable[[int], None] | None
    ) -> tuple[int, httpx.Headers, bytes]:
        timeouts = self._network.timeouts
        limit = timeouts.in_all(size)
        request = SealedRequest(
            outgoing.method,
            outgoing.url if outgoing.sealed else _known_url(outgoing.url),
            headers=[
                ("Host", urlsplit(outgoing.url).netloc),
                ("User-Agent", _USER_AGENT),
                ("Accept-Encoding", "identity"),
                *outgoing.headers,
                *([("Content-Length", str(size))] if outgoing.method == "POST" else []),
            ],
            stream=Pieces(outgoing.body, on_sent),
            extensions={
                "timeout": {
                    "connect": timeouts.connect,
                    "pool": timeouts.connect + timeouts.stall,
                    "write": timeouts.stall,
                    "read": timeouts.for_answer(size),
                },
                WHOLE: limit,
            },
        )
        if self._network.borrowed is None:
            # A lane keeps the limit itself, with the one timer that it has anyway.
            return await _ask(self._lane(), request)
        if not outgoing.body:
            # Some send any other stream in chunks, even if nothing comes out of it.
            request.stream = httpx.ByteStream(b"")
            request.read()
        async with asyncio.timeout(limit):
            return await _ask(self._network.borrowed, request)

    def _lane(self) -> LaneTransport:
        if self._transport is None:
            self._transport = LaneTransport(self._network.tls)
        return self._transport


async def _ask(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
    response = await transport.handle_async_request(request)
    try:
        content = await _read(response)
    except BaseException:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await response.aclose()
        raise
    await response.aclose()
    return response.status_code, response.headers, content


#: Parsing a URL takes as long as sending the request. Only URLs without a secret may be kept.
_known_url = lru_cache(maxsize=256)(httpx.URL)


async def _read(response: httpx.Response) -> bytes:
    """The body of an answer, as long as it is a reasonable one: a server may not fill our memory."""
    content = bytearray()
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    async for part in stream:
        content += part
        if len(content) > MAX_ANSWER:
            raise ResponseError(
                f"the answer (HTTP {response.status_code}) is longer than {MAX_ANSWER} bytes",
                status=response.status_code,
            )
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise ResponseError("the answer is compressed, which was not asked for", status=response.status_code)
    return bytes(content)


def _transport_error(problem: Exception, url: str) -> TransportError:
    never_sent = isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    why = reason(problem) if isinstance(problem, OSError) else str(problem) or type(problem).__name__
    return TransportError(f"no whole answer from {origin(url)}: {why}", sent=not never_sent)

"""One request out, one answer in, within deadlines and size limits, over a connection of its host.

What carries it is always an `httpx.AsyncBaseTransport`: a connection of our own, or what the caller has brought.
"""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Awaitable, Callable

import attrs
import httpx

from .._redaction import iter_causes, strip_tracebacks
from ..config import KIB, MIB
from ..errors import ConfigurationError, ResponseError, TransportError
from ..protocol import hosts
from ..protocol.wire import Answer, Request, SecretName, Secrets
from .foreign import ForeignFaultError
from .lane import SealedResponse, StaleConnectionError, WholeBody
from .pool import ConnectionPool, Lane
from .request import PIECE, RequestBody, build_request, timeout_extension

#: No answer of the service has a reason to be longer: a full page of 100 videos has some 100 KiB.
MAX_ANSWER = 2 * MIB

#: The slowest link that is waited for, in bytes a second, while what was written drains from the system's buffers.
SLOWEST_DRAIN = 64 * KIB
_MOST_BUFFERED = 4 * MIB

#: The headers of an answer that say anything to us.
_LOOKED_AT = frozenset({b"content-encoding", b"retry-after", b"date"})

#: What packs an answer. Other words in that header (``none``, ``UTF-8``) say nothing, and nobody heeds them.
_PACKED = re.compile(r"\b(?:gzip|deflate|compress|br|zstd)\b", re.IGNORECASE)

#: No connection was made, or none was to be had: nothing has been sent.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@attrs.frozen
class Deadlines:
    """How long to wait, in seconds.

    Attributes:
        connect: for a connection.
        stall: for any sign of life once there is one.
    """

    connect: float
    stall: float

    def timeout(self, body_size: int) -> dict[str, float]:
        """The waits of an exchange whose body has so many bytes.

        They may still be in the system's buffers when the last write is done; and a peer that sends single bytes must
        not hold a connection forever.
        """
        read = self.stall + min(body_size, _MOST_BUFFERED) / SLOWEST_DRAIN
        total = self.connect + self.stall * (2 + body_size // PIECE) + 2 * read
        return timeout_extension(self.connect, self.stall, read, total)


class HttpClient:
    """Sends the requests of one client.

    Args:
        make: makes a connection, which connects with its first request.
        control: connections for everything but ranges.
        ranges: connections for ranges.
        trusted: the origins that secrets may be sent to.
        deadlines: how long to wait.
        clock: Unix time in seconds.
        whole_url: put queries into URLs, for a transport that may not know ``extensions["target"]``.
        quotes: whether texts of the transport's errors may be passed on: a foreign one may quote tokens.
        before_request: awaited before each request, repeats too: a limit of requests a second.
    """

    def __init__(
        self,
        *,
        make: Callable[[], Lane],
        control: ConnectionPool,
        ranges: ConnectionPool,
        trusted: frozenset[str],
        deadlines: Deadlines,
        clock: Callable[[], float],
        whole_url: bool = False,
        quotes: bool = True,
        before_request: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._make = make
        self._control = control
        self._ranges = ranges
        self._trusted = trusted
        self._deadlines = deadlines
        self._clock = clock
        self._whole_url = whole_url
        self._quotes = quotes
        self._before_request = before_request
        self._closed = False

    async def send(
        self,
        request: Request,
        secrets: Secrets,
        on_sent: Callable[[int], None] | None = None,
        *,
        resend: bool = True,
        on_resend: Callable[[], None] = lambda: None,
        fresh: bool = False,
        admit: Callable[[], None] = lambda: None,
        allow: Callable[[int], Awaitable[int]] | None = None,
    ) -> Answer:
        """Send a request and read its answer whole. Redirects are not followed.

        Args:
            request: what goes out. One with a body and no secret is a range.
            secrets: what goes into its places for secrets.
            on_sent: called with the number of bytes for each piece of the body that the network has taken.
            resend: whether to send once more, at once and over a fresh connection, what met a kept connection that
                the peer had closed before.
            on_resend: called when that happens.
            fresh: use a new connection.
            allow: awaited with a number of bytes of the body before they are written; how many may be.
            admit: called when there is a connection and nothing was sent yet; may raise.

        Raises:
            TransportError: no whole answer came in time; `sent` says whether the request may have arrived.
            ResponseError: the answer is too long or compressed, or the service named a host that must not be asked.
        """
        pool = self._ranges if request.body and not request.secrets else self._control
        timeout = self._deadlines.timeout(request.body_size)
        outside = sys.exception()
        told = 0
        while True:
            if self._before_request is not None:
                await self._before_request()
            if self._closed:
                raise ConfigurationError("the client is closed; make a new one")
            lane = await pool.acquire(hosts.origin(request.url), self._make, fresh=fresh)
            body = RequestBody(request.body, on_sent, told, allow)
            # What is left of an answer with a token would stand in a foreign transport's next error, and in its log.
            last = not self._quotes and SecretName.APP_KEY in request.secrets
            try:
                admit()
                asked_at = self._clock()
                response = await lane.handle_async_request(
                    build_request(
                        request,
                        secrets,
                        self._trusted,
                        body=body,
                        timeout=timeout,
                        whole_url=self._whole_url,
                        last=last,
                    )
                )
            except (httpx.TransportError, TimeoutError, OSError) as problem:
                if not (resend and not fresh and isinstance(problem, StaleConnectionError)):
                    raise self._lost(request, problem, outside) from problem
                fresh, told = True, body.told
                on_resend()
            except BaseException as problem:  # noqa: BLE001 - raised again at once
                # Cancellations too: a traceback with local variables would show the request.
                raise strip_tracebacks(problem, outside)  # noqa: B904 - the same exception
            else:
                return _answer(response, asked_at, self._clock())
            finally:
                pool.release(lane)

    def close(self) -> None:
        """Close the connections; nothing more is sent."""
        self._closed = True
        self._control.close()
        self._ranges.forget(self._make)

    def _lost(self, request: Request, problem: Exception, outside: BaseException | None) -> TransportError:
        """What an error of a transport means. Its frames go, and its text too if it may quote an answer."""
        sent = not isinstance(problem, _NEVER_SENT)
        why = str(problem) or type(problem).__name__
        refused = False
        for each in iter_causes(problem, outside):
            each.__traceback__ = None
            # Ours by the peer, or the peer's by us.
            refused = refused or (isinstance(each, ssl.SSLError) and "CERTIFICATE" in (each.reason or ""))
            if not self._quotes:
                each.args = ()
        at_fault = isinstance(problem, ForeignFaultError)
        if not self._quotes and sent and not at_fault:
            why = type(problem).__name__
        error = TransportError(f"no whole answer from {hosts.origin(request.url)}: {why}", sent=sent)
        error.closed_before = isinstance(problem, StaleConnectionError)
        if refused or at_fault:
            # The certificate, or the caller's transport, is the same at the next try.
            error.retryable = False
        return error


def _answer(response: httpx.Response, asked_at: float, answered_at: float) -> Answer:
    """The answer, unless it is something that a server could fill our memory with."""
    stream = response.stream
    content = stream.content if isinstance(stream, WholeBody) else response.content
    status = response.status_code
    if len(content) > MAX_ANSWER:
        raise ResponseError(f"the answer (HTTP {status}) is longer than {MAX_ANSWER} bytes", status=status)
    told: dict[bytes, str] = {}
    for name, value in response.raw_headers if isinstance(response, SealedResponse) else response.headers.raw:
        if (known := name.lower()) in _LOOKED_AT:
            told.setdefault(known, value.decode("latin-1"))
    if _PACKED.search(told.get(b"content-encoding", "")):
        raise ResponseError("the answer is compressed, which was not asked for", status=status)
    return Answer(status, content, asked_at, told.get(b"retry-after"), answered_at, told.get(b"date"))

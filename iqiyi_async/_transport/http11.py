"""One HTTP/1.1 connection on asyncio: h11 speaks the protocol, this module moves the bytes.

Why not the HTTP library's own pool: httpcore 1.0 spends more time on an exchange of ours than the exchange itself
takes (locks, traces, scopes, a scan of its queue), copies every piece of a body, and keeps slots for ever that
`task.cancel()` interrupted. A lane needs none of it: one connection, one exchange at a time, closed after the first
trouble.

What belongs here: bytes, flow control, and a clock on every wait. What must not: which hosts, which secrets, which
errors of ours.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable
from typing import cast

import h11

from .dial import dial

#: Pieces up to this many bytes are joined: copying them costs less than a system call for each.
TOGETHER = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class StalledError(Exception):
    """Nothing moved for as long as was allowed."""


class BrokenError(Exception):
    """The connection ended, or the peer does not speak HTTP."""


class Http11(asyncio.Protocol):
    """One connection. After an error or a cancellation it must be closed, whatever `reusable` says."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._heard = False
        self._early: object = None
        self._lost = False
        self._busy = False
        self._idle_since = self._loop.time()
        self._small: list[bytes | memoryview] = []
        self._small_size = 0

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Http11:
        """Make a connection.

        Raises:
            OSError: it was refused, the name is unknown, or TLS failed.
        """
        loop = asyncio.get_running_loop()
        end = await dial(host, port)
        _, connection = await loop.create_connection(cls, sock=end, ssl=tls, server_hostname=host if tls else None)
        return connection

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last exchange is complete, and all of its bytes are gone."""
        if self._lost or self._busy or self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False
        return self._h11.our_state is h11.IDLE and self._h11.their_state is h11.IDLE

    @property
    def idle_for(self) -> float:
        """Seconds since the last exchange."""
        return self._loop.time() - self._idle_since

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: AsyncIterable[bytes | memoryview],
        *,
        stall: float,
    ) -> None:
        """Send a request. It stops half way when the peer answers or hangs up meanwhile: then there may be an answer
        to read.

        Raises:
            StalledError: the peer took nothing for `stall` seconds.
        """
        self._busy = True
        self._heard = False
        self._early = None
        self._put(h11.Request(method=method, target=target, headers=headers))
        async for piece in body:
            if self._no_use:
                return
            # h11 passes through whatever has a length; its annotation says less.
            self._put(h11.Data(data=cast("bytes", piece)))
            while self._paused and not self._no_use:
                await self._wait(stall)
        self._put(h11.EndOfMessage())
        self._flush()

    async def head(self, *, stall: float) -> tuple[int, Headers]:
        """The status and the headers of the answer.

        Raises:
            StalledError: nothing came for `stall` seconds.
            BrokenError: the connection ended before, or what came is not HTTP.
        """
        while True:
            event = await self._event(stall)
            if isinstance(event, h11.Response):
                return event.status_code, list(event.headers)
            if not isinstance(event, h11.InformationalResponse):
                raise BrokenError("the connection was closed without an answer")

    async def body(self, *, stall: float) -> AsyncGenerator[bytes, None]:
        """The pieces of the answer's body. Once it is read to its end, the connection is free for another request.

        Raises:
            StalledError: nothing came for `stall` seconds.
            BrokenError: the connection ended in the middle.
        """
        while True:
            event = await self._event(stall)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise BrokenError("the connection was closed in the middle of an answer")
        # Bytes behind the answer belong to nothing that was asked: they must not become the answer to the next
        # request.
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
        self._busy = False
        self._idle_since = self._loop.time()
        if not self.reusable:
            # The peer answered before it had everything: what is still to be sent must not outlive this exchange.
            self.abort()

    def abort(self) -> None:
        """Close the connection now; what was not sent is forgotten, so that nothing refers to a lane's buffer any
        more."""
        self._lost = True
        self._transport.abort()

    @property
    def _no_use(self) -> bool:
        """Whether it is of no use to send on: the connection is gone, or the peer has answered already. Interim
        answers (RFC 9110, 15.2) are passed over: they are none."""
        while self._heard and self._early is None:
            event = self._next()
            if event is h11.NEED_DATA:
                self._heard = False
            elif not isinstance(event, h11.InformationalResponse):
                self._early = event
        return self._heard or self._lost

    def _put(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        """Hand an event's bytes to the system: small ones together, in one call; large ones as they are, uncopied."""
        for data in self._h11.send_with_data_passthrough(event) or ():
            if len(data) > TOGETHER:
                self._flush()
                if not self._lost:
                    self._transport.write(data)
            else:
                self._small.append(data)
                self._small_size += len(data)
                if self._small_size > TOGETHER:
                    self._flush()

    def _flush(self) -> None:
        if self._small and not self._lost:
            self._transport.write(b"".join(self._small))
        self._small.clear()
        self._small_size = 0

    def _next(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            # Its text quotes the peer, and a peer may say back what it was told: a token, for instance.
            pass
        raise BrokenError("what came is not HTTP, or not all of it")

    async def _event(self, stall: float) -> object:
        event, self._early = self._early, None
        if event is not None:
            return event
        while True:
            event = self._next()
            if event is not h11.NEED_DATA:
                return event
            if self._lost:
                raise BrokenError("the connection was reset")
            await self._wait(stall)

    async def _wait(self, seconds: float) -> None:
        """Wait until anything happens to the connection."""
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._stalled)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _stalled(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(StalledError())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of other event loops are not of that class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            # Nobody asked for anything: whatever it is, it must not be taken for the next answer.
            self.abort()
            return
        self._heard = True
        self._h11.receive_data(data)
        self._wake()

    def eof_received(self) -> None:
        if self._busy and not self._lost:
            self._h11.receive_data(b"")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

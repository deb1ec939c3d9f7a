"""One HTTP/1.1 connection on asyncio: h11 speaks the protocol, this module moves the bytes.

Why not the HTTP library's own pool: httpcore 1.0 spends more time on an exchange of ours than the exchange itself
takes (locks, traces, scopes, a scan of its queue), copies every piece of a body, and keeps slots for ever that
`task.cancel()` interrupted. A lane needs none of it: one connection, one exchange at a time, closed after the first
trouble.

An exchange goes on inside the event loop's callbacks: when the system has taken a piece the next one follows, when
bytes come they are read. Whoever asked is woken once, by the whole answer or by what went wrong.

What belongs here: bytes, flow control, and a clock on every wait. What must not: which hosts, which secrets, which
errors of ours.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import cast

import h11

from ..config import KIB, MIB
from .dial import dial
from .exchange import BrokenError, Exchange, Headers, Patience, Reply

#: Pieces up to this many bytes are joined: copying them costs less than a system call for each.
TOGETHER = 64 * KIB

#: One write, to begin with. While the peer takes one so quickly, in seconds, the next is twice as large, so that
#: calls do not count; and half as large while it is so slow, so that one can tell how far it is. The largest keeps
#: the event loop for less than a millisecond.
PIECE, LEAST, MOST = 256 * KIB, 64 * KIB, MIB
QUICK, SLOW = 0.05, 0.5

Body = Iterable[bytes | memoryview]


class Http11(asyncio.Protocol):
    """One connection. After an error or a cancellation it must be closed, whatever `reusable` says."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._piece = PIECE
        self._paused = False
        self._lost = False
        self._idle_since = self._loop.time()

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
        if self._lost or self._exchange or self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False
        return self._h11.our_state is h11.IDLE and self._h11.their_state is h11.IDLE

    @property
    def idle_for(self) -> float:
        """Seconds since the last exchange."""
        return self._loop.time() - self._idle_since

    async def exchange(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: Body,
        *,
        patience: Patience,
        most: int,
        on_sent: Callable[[int], None] | None = None,
    ) -> Reply:
        """Send a request and read its answer. What is left of a body stays unsent once the peer answers.

        Args:
            method: GET or POST.
            target: path and query.
            headers: as they go out; with the length of the body, if there is one.
            body: sent from where it is, which must not change until this is over.
            patience: how long to wait.
            most: bytes of the answer; a longer one ends after them, and so does the connection.
            on_sent: hears how many bytes of the body the system has taken.

        Raises:
            StalledError: nothing moved for too long.
            TimeoutError: it moved, but not in time.
            BrokenError: the connection ended without a whole answer, or what came is not HTTP.
        """
        exchange = self._exchange = Exchange(self._loop, patience, most, on_sent)
        exchange.unsent.extend(self._parts(h11.Request(method=method, target=target, headers=headers), body))
        self._pump()
        try:
            return await exchange.over
        finally:
            exchange.timer.cancel()

    def abort(self) -> None:
        """Close the connection now; what was not sent is forgotten, so that nothing refers to a lane's buffer any
        more."""
        self._lost = True
        if self._exchange is not None:
            self._exchange.unsent.clear()
        self._transport.abort()

    # Sending

    def _parts(self, request: h11.Request, body: Body) -> Iterable[tuple[bytes | memoryview, int]]:
        """What goes out, and how much of the body each part is: small ones together, in one copy; large ones as they
        are."""
        small = [self._h11.send(request)]
        of_body = 0
        for part in body:
            # h11 passes through whatever has a length; its annotation says less.
            for data in self._h11.send_with_data_passthrough(h11.Data(data=cast("bytes", part))) or ():
                if len(data) <= TOGETHER:
                    small.append(data)
                    of_body += len(data)
                    continue
                yield b"".join(small), of_body
                small, of_body = [], 0
                yield data, len(data)
        small += self._h11.send_with_data_passthrough(h11.EndOfMessage()) or ()
        if small:
            yield b"".join(small), of_body

    def _pump(self) -> None:
        """Write the next piece. One a turn of the loop: others have their turn between two."""
        exchange = self._exchange
        if exchange is None or self._lost or not exchange.unsent:
            return
        self._transport.write(exchange.cut(self._piece))
        if not self._paused:
            self._taken(exchange)
            if exchange.unsent:
                self._loop.call_soon(self._pump)

    def _taken(self, exchange: Exchange) -> None:
        seconds = exchange.taken()
        if seconds < QUICK:
            self._piece = min(2 * self._piece, MOST)
        elif seconds > SLOW:
            self._piece = max(self._piece // 2, LEAST)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._exchange is not None:
            self._taken(self._exchange)
            self._pump()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            # Nobody asked for anything: whatever it is, it must not be taken for the next answer.
            self.abort()
            return
        self._exchange.moved = self._loop.time()
        self._h11.receive_data(data)
        self._read(self._exchange)

    def eof_received(self) -> None:
        if self._exchange is not None and not self._lost:
            self._h11.receive_data(b"")
            self._read(self._exchange)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._exchange is not None:
            self._exchange.fail(BrokenError("the connection was reset"))

    def _read(self, exchange: Exchange) -> None:
        try:
            while not exchange.over.done():
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    return
                self._hear(exchange, event)
        except h11.RemoteProtocolError:
            # Its text quotes the peer, and a peer may say back what it was told: a token, for instance.
            exchange.fail(BrokenError("what came is not HTTP, or not all of it"))

    def _hear(self, exchange: Exchange, event: object) -> None:
        if isinstance(event, h11.Response):
            exchange.answered(event.status_code, list(event.headers))
        elif isinstance(event, h11.Data):
            exchange.content += event.data
            if len(exchange.content) > exchange.most:
                self._end(exchange)
        elif isinstance(event, h11.EndOfMessage):
            # Bytes behind the answer belong to nothing that was asked: they must not become the answer to the next
            # request.
            if exchange.sent and self._h11.our_state is h11.DONE and not self._h11.trailing_data[0]:
                self._h11.start_next_cycle()
            self._end(exchange)
        elif not isinstance(event, h11.InformationalResponse):
            # Interim answers (RFC 9110, 15.2) are passed over: they are none.
            where = "in the middle of an answer" if exchange.begun else "without an answer"
            exchange.fail(BrokenError(f"the connection was closed {where}"))

    def _end(self, exchange: Exchange) -> None:
        self._exchange = None
        self._idle_since = self._loop.time()
        if not self.reusable:
            # The peer answered before it had everything, or said too much: none of it may outlive this exchange.
            self.abort()
        exchange.succeed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of other event loops are not of that class.
        self._transport = cast("asyncio.Transport", transport)

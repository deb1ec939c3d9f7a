"""One HTTP/1.1 connection on asyncio: this module moves the bytes of one exchange after the other.

Why not the HTTP library's own pool: httpcore 1.0 spends more time on an exchange of ours than the exchange itself
takes (locks, traces, scopes, a scan of its queue), copies every piece of a body, and keeps slots for ever that
`task.cancel()` interrupted. A lane needs none of it: one connection, one exchange at a time, closed after the first
trouble.

An exchange goes on inside the event loop's callbacks: when the system has taken a piece the next one follows, when
bytes come they are read. Whoever asked is woken once, by the whole answer or by what went wrong.

What belongs here: bytes and flow control. What must not: the grammar of HTTP, which hosts, which secrets.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import cast

from ..config import KIB, MIB
from ..protocol.wire import Body, Headers
from .dial import dial
from .exchange import Exchange
from .outcome import BrokenError, Patience, Reply

#: One write, to begin with. While the peer takes one so quickly, in seconds, the next is twice as large, so that
#: calls do not count; and half as large while it is so slow, so that one can tell how far it is. The largest keeps
#: the event loop for less than a millisecond.
PIECE, LEAST, MOST = 256 * KIB, 64 * KIB, MIB
QUICK, SLOW = 0.05, 0.5

#: Room for an answer, or for a part of it, in bytes. Without a buffer of ours asyncio takes 256 KiB from the system
#: for every few bytes that come, and gives them back at once, for which it stops all processors.
ROOM = 16 * KIB


class Http11(asyncio.BufferedProtocol):
    """One connection. After an error or a cancellation it must be closed, whatever `reusable` says."""

    def __init__(self, largest_piece: int = MOST) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._piece, self._largest_piece = PIECE, largest_piece
        self._written, self._written_at = 0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._lost = False
        self._idle_since = self._loop.time()
        self._room = memoryview(bytearray(ROOM))

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Http11:
        """Make a connection.

        Raises:
            OSError: it was refused, the name is unknown, or TLS failed.
        """
        loop = asyncio.get_running_loop()
        end = await dial(host, port)
        # What is encrypted but not sent is not counted by asyncio: one could not see a large piece move.
        made = partial(cls, PIECE if tls else MOST)
        _, connection = await loop.create_connection(made, sock=end, ssl=tls, server_hostname=host if tls else None)
        return connection

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last exchange is complete, and all of its bytes are gone."""
        if self._lost or self._exchange is not None or self._transport.is_closing():
            return False
        return self._transport.get_write_buffer_size() == 0

    @property
    def idle_for(self) -> float:
        """Seconds since the last exchange."""
        return self._loop.time() - self._idle_since

    async def exchange(
        self,
        method: str,
        target: str,
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
            ValueError: the request can't be written down as HTTP.
        """
        exchange = self._exchange = Exchange(self._loop, patience, most, on_sent)
        try:
            exchange.ask(method, target, headers, body)
            self._pump()
            self._watch(exchange)
            reply = await exchange.over
        finally:
            exchange.close()
        self._exchange = None
        self._idle_since = self._loop.time()
        if not exchange.reusable or not self.reusable:
            # The peer answered before it had everything, or said too much: none of it may outlive this exchange.
            self.abort()
        return reply

    def abort(self) -> None:
        """Close the connection now; what was not sent is forgotten, so that nothing refers to a lane's buffer any
        more."""
        self._lose()
        self._transport.abort()

    def _pump(self) -> None:
        """Write the next piece. One a turn of the loop: others have their turn between two."""
        exchange = self._exchange
        if exchange is None or self._lost or not exchange.unsent:
            return
        piece = exchange.cut(self._piece)
        self._written, self._written_at = len(piece), self._loop.time()
        self._transport.write(piece)
        if self._paused:
            exchange.waiting(self._transport.get_write_buffer_size())
            return
        self._taken(exchange)
        if exchange.unsent:
            self._loop.call_soon(self._pump)

    def _taken(self, exchange: Exchange) -> None:
        exchange.taken()
        seconds = self._loop.time() - self._written_at
        if self._written < self._piece:
            return  # Heads and tails say nothing.
        if seconds < QUICK:
            self._piece = min(2 * self._piece, self._largest_piece)
        elif seconds > SLOW:
            self._piece = max(self._piece // 2, LEAST)

    def _watch(self, exchange: Exchange) -> None:
        """Have the exchange looked at in time. A timer that an earlier one has left will do, unless it is too late:
        most exchanges are over long before."""
        when = exchange.check()
        if self._timer is not None and self._timer.when() > when:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Look whether anything moves, and look again later."""
        self._timer = None
        if self._exchange is not None and not self._exchange.over.done():
            self._exchange.waiting(self._transport.get_write_buffer_size())
            self._watch(self._exchange)

    def _lose(self) -> None:
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of other event loops are not of that class.
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._exchange is not None:
            self._taken(self._exchange)
            self._pump()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        if self._exchange is None or self._exchange.over.done():
            # Nobody asked for anything, or not for so much: it must not be taken for the next answer.
            self.abort()
        else:
            self._exchange.hear(self._room[:nbytes])

    def eof_received(self) -> None:
        if self._exchange is not None and not self._exchange.over.done():
            self._exchange.hear_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()
        if self._exchange is not None and not self._exchange.over.done():
            self._exchange.fail(BrokenError("the connection was reset"))

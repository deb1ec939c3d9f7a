"""One HTTP/1.1 connection on asyncio: this module moves the bytes of one exchange after the other.

Why not the HTTP library's own pool: httpcore 1.0 spends more time on an exchange of ours than the exchange itself
takes (locks, traces, scopes, a scan of its queue), copies every piece of a body, and keeps slots forever that
`task.cancel()` interrupted.

An exchange goes on inside the event loop's callbacks: when the system has taken a piece the next one follows, when
bytes come they are read. The caller is woken once, by the whole answer or by what went wrong.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

from ..._clocks import boottime
from ...config import KIB, MIB
from .exchange import Exchange, RawHeaders, Reply, Timeouts

#: One write, to begin with. While the peer takes one so quickly, in seconds, the next is twice as large, so that
#: calls do not count; and half as large while it is so slow, so that one can tell how far it is. The largest keeps
#: the event loop for less than a millisecond.
PIECE, LEAST, MOST = 256 * KIB, 64 * KIB, MIB
QUICK, SLOW = 0.05, 0.5

#: Room for an answer, or for a part of it, in bytes. Without a buffer of ours asyncio takes 256 KiB from the system
#: for every few bytes that come, and gives them back at once, for which it stops all processors.
ROOM = 16 * KIB


def unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """What the system has received of a connection that is lost, and nobody has read; b"" is its regular end."""
    number = _descriptor(transport)
    while number >= 0:
        try:
            data = os.read(number, ROOM)
        except OSError:
            return
        yield data
        if not data:
            return


def _descriptor(transport: asyncio.Transport) -> int:
    """The number of a connection's socket, or -1 if it is closed or unknown."""
    end = transport.get_extra_info("socket")
    try:
        return -1 if end is None else int(end.fileno())
    except OSError:
        return -1


class Http11(asyncio.BufferedProtocol):
    """One connection. After an error or a cancellation it must be closed, whatever `reusable` says.

    Args:
        largest_piece: bytes of one write at most.
        piece: bytes of the first write.
        quick: seconds; a peer that takes a write in less gets twice as much with the next.
        slow: seconds; one that takes longer gets half as much.
        clock: seconds, for the time that a connection is idle: also while the machine is suspended.
    """

    def __init__(
        self,
        largest_piece: int = MOST,
        *,
        piece: int = PIECE,
        quick: float = QUICK,
        slow: float = SLOW,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._piece, self._largest_piece = piece, largest_piece
        self._quick, self._slow = quick, slow
        self._clock = clock
        self._written, self._written_at = 0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._resumed = asyncio.Event()
        self._pacing: asyncio.Task[None] | None = None
        self._made = self._lost = self._tls = False
        self._idle_since = clock()
        self._kept_for: float | None = None
        self._room = memoryview(bytearray(ROOM))

    @classmethod
    def over(cls, tls: bool) -> Http11:
        """A connection with or without TLS.

        What is encrypted but not sent is not counted by asyncio: one could not see a large piece move.
        """
        return cls(PIECE if tls else MOST)

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last exchange is complete, and all of its bytes are gone."""
        if self._lost or self._exchange is not None or self._transport.is_closing():
            return False
        return self._transport.get_write_buffer_size() == 0

    @property
    def unanswered_for(self) -> float:
        """Seconds since the exchange under way began, if not a byte of an answer has come; else infinite."""
        return float("inf") if self._exchange is None else self._exchange.unanswered_for

    async def is_usable(self, idle: float) -> bool:
        """Look whether a kept connection is still open (RFC 9112, 9.5: the peer may close it at any time).

        Args:
            idle: seconds without a request after which it is not used again. A peer that has said how long it waits
                is given no more than that.
        """
        if not self.reusable:
            return False
        if self._kept_for is not None:
            idle = min(idle, self._kept_for - min(1.0, self._kept_for / 2))
        if self._clock() - self._idle_since >= idle:
            return False
        if not self._readable():
            return True
        if not self._tls:
            # Whatever can be read was not asked for, or is the end.
            return False
        # It may be a session ticket: let the loop read it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return not self._readable() and not self._lost and not self._transport.is_closing()

    async def exchange(
        self,
        method: bytes,
        target: bytes,
        headers: RawHeaders,
        body: Sequence[bytes | memoryview],
        *,
        timeouts: Timeouts,
        most: int,
        on_sent: Callable[[int], None] | None = None,
        allow: Callable[[int], Awaitable[int]] | None = None,
    ) -> Reply:
        """Send a request and read its answer. What is left of a body stays unsent once the peer answers.

        Args:
            method: GET or POST.
            target: path and query.
            headers: as they go out; with the length of the body, if there is one.
            body: sent from where it is, which must not change until this is over.
            timeouts: how long to wait.
            most: bytes of the answer; a longer one ends after them, and so does the connection.
            on_sent: called with the number of bytes of the body that the system has taken.
            allow: awaited with a number of bytes of the body before they are written; how many may be. Waiting for it
                is not being late.

        Raises:
            StalledError: nothing moved for too long.
            TimeoutError: it moved, but not in time.
            BrokenError: the connection ended without a whole answer, or what came is not HTTP.
            ValueError: the request can't be written down as HTTP.
        """
        exchange = self._exchange = Exchange(self._loop, timeouts, most, on_sent)
        try:
            exchange.ask(method, target, headers, body)
            if allow is None:
                self._transport.write(self._next_piece(exchange))
                self._after_write(exchange)
            else:
                self._pacing = self._loop.create_task(self._pace(exchange, allow), name="iqiyi-async pace")
            self._watch(exchange)
            reply = await exchange.over
        finally:
            exchange.close()
            pacing, self._pacing = self._pacing, None
            if pacing is not None:
                pacing.cancel()
        self._exchange = None
        self._idle_since, self._kept_for = self._clock(), exchange.keep_alive
        if not exchange.reusable or not self.reusable:
            # The peer answered before it had everything, or said too much: none of it may outlive this exchange.
            self.abort()
        return reply

    def abort(self) -> None:
        """Close the connection now; what was not sent is forgotten, so that nothing refers to the caller's buffer."""
        self._lose()
        if self._made:
            self._transport.abort()

    def _pump(self) -> None:
        """Write the next piece. One a turn of the loop: others have their turn between two."""
        exchange = self._exchange
        if exchange is not None and self._writing(exchange):
            self._transport.write(self._next_piece(exchange))
            self._after_write(exchange)

    async def _pace(self, exchange: Exchange, allow: Callable[[int], Awaitable[int]]) -> None:
        """Write all pieces, each when it is allowed and the system has taken the one before."""
        try:
            while self._writing(exchange):
                most = min(exchange.next_of_body, self._piece)
                if most:
                    exchange.hold(True)
                    most = await allow(most)
                    exchange.hold(False)
                if not self._writing(exchange):
                    return
                self._written, self._written_at = 0, self._loop.time()
                self._transport.write(exchange.cut_body(most))
                if self._paused:
                    exchange.waiting(self._transport.get_write_buffer_size())
                    self._resumed.clear()
                    await self._resumed.wait()
                else:
                    exchange.taken()
        except Exception as problem:  # noqa: BLE001 - it is the caller's, and leaves by the exchange
            exchange.fail(problem)

    def _writing(self, exchange: Exchange) -> bool:
        """Whether anything is left to be written; nothing is once the answer has begun."""
        return exchange.unsent and not self._lost

    def _next_piece(self, exchange: Exchange) -> bytes | memoryview:
        piece = exchange.cut(self._piece)
        self._written, self._written_at = len(piece), self._loop.time()
        return piece

    def _after_write(self, exchange: Exchange) -> None:
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
        if seconds < self._quick:
            self._piece = min(2 * self._piece, self._largest_piece)
        elif seconds > self._slow:
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
        self._resumed.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _readable(self) -> bool:
        """Whether there is anything to read, the end of the connection included."""
        number = _descriptor(self._transport)
        if number < 0:
            return False
        if not hasattr(select, "poll"):
            return bool(select.select([number], [], [], 0)[0])
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of other event loops are not of that class.
        self._transport = cast("asyncio.Transport", transport)
        self._tls = transport.get_extra_info("ssl_object") is not None
        self._made = True
        if self._lost:
            # Something came behind the handshake that nobody had asked for.
            self._transport.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._resumed.set()
        if self._exchange is not None:
            self._taken(self._exchange)
            if self._pacing is None:
                self._pump()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        if self._exchange is None or self._exchange.over.done():
            # Nobody asked for anything, or not for so much: it must not be taken for the next answer.
            self.abort()
        else:
            self._exchange.feed(self._room[:nbytes])

    def eof_received(self) -> None:
        if self._exchange is not None and not self._exchange.over.done():
            self._exchange.feed_end()

    def connection_lost(self, exc: Exception | None) -> None:
        lost, self._lost = self._lost, True
        exchange = self._exchange
        if exchange is not None and not exchange.over.done():
            at_end = False
            if not self._tls and not lost:
                # A write failed: perhaps the peer has answered, and then closed its end. Behind TLS see `tls`.
                for data in unread(self._transport):
                    if data:
                        exchange.feed(data)
                    else:
                        at_end = True
                    if exchange.over.done():
                        break
            exchange.feed_reset(exc, at_end=at_end)
        self._lose()

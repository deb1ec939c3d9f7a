"""One exchange of HTTP/1.1: a request, its answer as far as it has come, and the clock that both are under.

llhttp (in httptools) reads the answer: strictly, and in a microsecond. What belongs here: the grammar of HTTP, what
is still to be sent, and when something last moved. What must not: sockets.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable

import httptools

from ..config import KIB
from ..protocol.wire import Body, Headers
from .outcome import BrokenError, Patience, Reply, StalledError

#: Parts of a body up to this many bytes are joined: copying them costs less than a system call for each.
TOGETHER = 64 * KIB

#: No answer has a reason to have more bytes than these besides its body: heads, frames of chunks, trailers.
MOST_BESIDES = 64 * KIB

#: How often one looks, while waiting, whether anything has moved.
LOOKS = 4

#: An answer with none of these ends with its connection.
_FRAMING = {b"content-length", b"transfer-encoding"}

#: What would end a line, or a word of the first one.
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Exchange:
    """A request and its answer.

    Attributes:
        over: the answer; or `StalledError`, `TimeoutError` or `BrokenError`.
        reusable: whether another request may follow over the same connection, once this one is over.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Patience,
        most: int,
        on_sent: Callable[[int], None] | None,
    ) -> None:
        self._loop = loop
        self._patience = patience
        self._most = most
        self._on_sent = on_sent
        self._unsent: deque[tuple[bytes | memoryview, int]] = deque()
        self._on_their_way = 0
        self._parser = httptools.HttpResponseParser(self)
        self._heard = 0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._content = bytearray()
        self._cut_short = False
        self._complete = False
        self.reusable = False
        self._waiting: int = 0
        self._moved = loop.time()
        self._deadline = self._moved + patience.whole
        self.over: asyncio.Future[Reply] = loop.create_future()

    # The request

    def ask(self, method: str, target: str, headers: Headers, body: Body) -> None:
        """What is to be sent: small parts joined, in one copy; large ones as they are.

        Raises:
            ValueError: a header or the target holds a character that would end it, or one that is not ASCII.
        """
        lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
        text = "".join(lines)
        if " " in target or _UNFIT.search(text) or not text.isascii():
            raise ValueError("a header or the target of a request holds a character that HTTP does not allow there")
        small: list[bytes | memoryview] = ["\r\n".join([*lines, "\r\n"]).encode("ascii")]
        of_body = 0
        for part in body:
            if len(part) <= TOGETHER:
                small.append(part)
                of_body += len(part)
                continue
            self._unsent += [(b"".join(small), of_body), (part, len(part))]
            small, of_body = [], 0
        if small:
            self._unsent.append((b"".join(small), of_body))

    @property
    def unsent(self) -> bool:
        """Whether anything is still to be sent."""
        return bool(self._unsent)

    def cut(self, most: int) -> bytes | memoryview:
        """The next piece to be sent, of so many bytes at most unless it was joined from smaller ones."""
        part, of_body = self._unsent.popleft()
        if of_body == len(part) > most:
            view = memoryview(part)
            part, rest, of_body = view[:most], view[most:], most
            self._unsent.appendleft((rest, len(rest)))
        self._on_their_way = of_body
        return part

    def taken(self) -> None:
        """The system has taken that piece."""
        self._moved = self._loop.time()
        if self._on_sent is not None and self._on_their_way:
            self._on_sent(self._on_their_way)

    def waiting(self, size: int) -> None:
        """So many bytes of what was cut still wait for the system to take them: fewer than before means that they
        move."""
        if size != self._waiting:
            self._waiting, self._moved = size, self._loop.time()

    # The answer

    def hear(self, data: bytes | memoryview) -> None:
        """Bytes have come."""
        self._moved = self._loop.time()
        self._heard += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Its text quotes the peer, and a peer may say back what it was told: a token, for instance.
            self.reusable = False
            if not self._complete:
                self.fail(BrokenError("what came is not HTTP"))
        if self._heard - len(self._content) > MOST_BESIDES:
            self.fail(BrokenError("the answer has too much besides its body"))
        elif self._complete or len(self._content) > self._most:
            self._succeed()

    def hear_end(self) -> None:
        """The peer will say no more."""
        if self._status and not _FRAMING & {name.lower() for name, _ in self._headers}:
            self._succeed()
        where = "in the middle of an answer" if self._status else "without an answer"
        self.fail(BrokenError(f"the connection was closed {where}"))

    def fail(self, problem: Exception) -> None:
        """There will be no answer."""
        self._unsent.clear()
        if not self.over.done():
            self.over.set_exception(problem)

    def close(self) -> None:
        """Nobody waits any more: nothing refers to the body or to one another."""
        self._unsent.clear()
        del self._parser

    def _succeed(self) -> None:
        if not self.over.done():
            self.over.set_result(Reply(self._status, self._headers, bytes(self._content)))

    # What llhttp calls

    def on_message_begin(self) -> None:
        """The first byte of an answer; or of one that nobody asked for: it must not be taken for the next."""
        self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self._complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole. Interim ones (RFC 9110, 15.2) are passed over: they are no answers."""
        status = self._parser.get_status_code()
        if self._complete:
            return
        if status < 200:
            self._headers = []
            return
        self._status = status
        # It is of no use to send on.
        self._cut_short = self.unsent
        self._unsent.clear()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if not self._complete:
            self._content += data

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if self._status and not self._complete:
            self._complete = True
            self.reusable = self._parser.should_keep_alive() and not self._cut_short

    # The clock

    def check(self) -> float:
        """Look whether anything has moved lately; when to look again (loop time, seconds)."""
        now = self._loop.time()
        patience = self._patience.taking if self._unsent else self._patience.answering
        if now >= self._deadline:
            self.fail(TimeoutError())
        elif now >= self._moved + patience:
            self.fail(StalledError())
        return min(self._moved + patience, now + patience / LOOKS, self._deadline)

"""One exchange of HTTP/1.1: a request, its answer as far as it has come, and the clock that both are under.

llhttp (in httptools) reads the answer, in a microsecond. What it is too strict for (the contract says: be liberal in
decoding) is made tidy first.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httptools

from ...config import KIB
from .lenient import ChunkedBody, cut_head, tidy

#: Parts of a body up to this many bytes are joined: copying them costs less than a system call for each.
TOGETHER = 64 * KIB

#: No answer has a reason to have more bytes than these besides its body: heads, frames of chunks, trailers.
MOST_BESIDES = 64 * KIB

#: How often one looks, while waiting, whether anything has moved.
LOOKS = 4

#: An answer with none of these ends with its connection.
_FRAMING = {b"content-length", b"transfer-encoding"}

#: What would end a line, or a word of the first one.
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_KEEP_ALIVE = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)

RawHeaders = Sequence[tuple[bytes, bytes]]


class Timeouts(NamedTuple):
    """How long to wait, in seconds: for the peer to take anything more (`write`), for anything of its answer
    (`read`), and for the exchange as a whole (`total`)."""

    write: float
    read: float
    total: float

    @classmethod
    def of(cls, extension: dict[str, float]) -> Timeouts:
        """From httpx's extension ``timeout``; what it does not say has no bound."""
        return cls(
            extension.get("write") or 1e9,
            extension.get("read") or 1e9,
            extension.get("total") or 1e9,
        )


class Reply(NamedTuple):
    """An answer, read whole. It may hold a token, and futures print their results, so it does not print itself."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes

    def __repr__(self) -> str:
        return f"<an answer with HTTP {self.status}>"


class NoAnswerError(Exception):
    """No whole answer came; its text says why."""


class StalledError(NoAnswerError):
    """Nothing moved for as long as was allowed."""

    def __init__(self) -> None:
        super().__init__("nothing moved")


class BrokenError(NoAnswerError):
    """The connection ended, or the peer does not speak HTTP."""


class Exchange:
    """A request and its answer.

    Attributes:
        over: the answer; or `StalledError`, `TimeoutError` or `BrokenError`.
        reusable: whether another request may follow over the same connection, once this one is over.
        keep_alive: how long the peer keeps an idle connection, in seconds, or None if it does not say.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        most: int,
        on_sent: Callable[[int], None] | None,
    ) -> None:
        self._loop = loop
        self._timeouts = timeouts
        self._most = most
        self._on_sent = on_sent
        self._unsent: deque[tuple[bytes | memoryview, int]] = deque()
        self._on_their_way = 0
        self._new_parser()
        self._heard = 0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        #: Joined once, at the end: what grows is copied again and again.
        self._content: list[bytes] = []
        self._size = 0
        #: What came until the head was complete, and of a chunked answer until its end; None where it is not needed.
        self._raw: list[bytes] | None = []
        self._chunked = False
        self._rough = False
        self._tidied = False
        self._chunks: ChunkedBody | None = None
        self._unfit = False
        self._cut_short = False
        self._complete = False
        self.reusable: bool = False
        self.keep_alive: float | None = None
        self._waiting: int = 0
        self._began = self._moved = loop.time()
        self._deadline = self._moved + timeouts.total
        self._held_at: float | None = None
        self.over: asyncio.Future[Reply] = loop.create_future()

    def _new_parser(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # Folded headers and control characters in values, line ends without CR, spaces after the size of a chunk.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    # The request

    def ask(self, method: bytes, target: bytes, headers: RawHeaders, body: Sequence[bytes | memoryview]) -> None:
        """What is to be sent: small parts joined, in one copy; large ones as they are.

        Raises:
            ValueError: a header or the target holds a character that would end it, or one that is not ASCII.
        """
        lines = [b"%b %b HTTP/1.1" % (method, target), *[b"%b: %b" % header for header in headers]]
        text = b"".join(lines)
        if b" " in target or _UNFIT.search(text) or not text.isascii():
            raise ValueError("a header or the target of a request holds a character that HTTP does not allow there")
        lines += (b"", b"")
        small: list[bytes | memoryview] = [b"\r\n".join(lines)]
        of_body = 0
        for part in body:
            if len(part) <= TOGETHER:
                small.append(part)
                of_body += len(part)
                continue
            self._unsent += [(b"".join(small), of_body), (part, len(part))]
            small, of_body = [], 0
        if small:
            self._unsent.append((small[0] if len(small) == 1 else b"".join(small), of_body))

    @property
    def unsent(self) -> bool:
        """Whether anything is still to be sent."""
        return bool(self._unsent)

    @property
    def unanswered_for(self) -> float:
        """Seconds since it began, if not a byte of an answer has come; else infinite."""
        return float("inf") if self._heard else self._loop.time() - self._began

    def cut(self, most: int) -> bytes | memoryview:
        """The next piece to be sent, of so many bytes at most unless it was joined from smaller ones."""
        part, of_body = self._unsent.popleft()
        if of_body == len(part) > most:
            view = memoryview(part)
            part, rest, of_body = view[:most], view[most:], most
            self._unsent.appendleft((rest, len(rest)))
        self._on_their_way = of_body
        return part

    def cut_body(self, most: int) -> bytes | memoryview:
        """The next piece, with so many bytes of the body at most; what stands before them goes with them."""
        part, of_body = self._unsent.popleft()
        self._on_their_way = min(of_body, most)
        if of_body > most:
            view, end = memoryview(part), len(part) - of_body + most
            self._unsent.appendleft((view[end:], of_body - most))
            return view[:end]
        return part

    @property
    def next_of_body(self) -> int:
        """Bytes of the body in the next part."""
        return self._unsent[0][1] if self._unsent else 0

    def hold(self, held: bool) -> None:
        """Stop the clock, or let it go on: what is held back on purpose is not late."""
        now = self._loop.time()
        if held:
            self._held_at = now
        elif self._held_at is not None:
            self._deadline += now - self._held_at
            self._moved, self._held_at = now, None

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

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes that have come."""
        self._moved = self._loop.time()
        self._heard += len(data)
        self._parse(data)
        if self._unfit:
            self.fail(BrokenError("what came is not HTTP"))
        elif self._heard - self._size > MOST_BESIDES:
            self.fail(BrokenError("the answer has too much besides its body"))
        elif self._complete or self._size > self._most:
            self._succeed()

    def feed_end(self) -> None:
        """The peer will say no more."""
        if self._status and not any(
            name.lower() in _FRAMING and value.strip().lower() != b"identity" for name, value in self._headers
        ):
            self._succeed()
        where = "in the middle of an answer" if self._status else "without an answer"
        self.fail(BrokenError(f"the connection was closed {where}"))

    def feed_reset(self, why: Exception | None, *, at_end: bool) -> None:
        """The connection is lost, perhaps because a write failed. A refusal counts as far as it has come: its status
        says enough.

        Args:
            why: what the system says, or TLS.
            at_end: whether everything that the peer has said was read.
        """
        if self._status >= 400:
            self._succeed()
        if at_end:
            self.feed_end()
        broken = BrokenError(str(why) if isinstance(why, ssl.SSLError) else "the connection was reset")
        broken.__cause__ = why
        self.fail(broken)

    def fail(self, problem: Exception) -> None:
        """There will be no answer."""
        self._unsent.clear()
        if not self.over.done():
            self.over.set_exception(problem)

    def close(self) -> None:
        """Nobody waits any more: nothing refers to the body or to one another."""
        self._unsent.clear()
        del self._parser

    def _parse(self, data: bytes | memoryview) -> None:
        if self._chunks is not None:
            self._read_chunks(self._chunks, data)
            return
        if self._raw is not None:
            self._raw.append(bytes(data))
            if self._rough:
                self._read_roughly(b"".join(self._raw))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Its text quotes the peer, and a peer may say back what it was told: a token, for instance.
            self.reusable = False
            if not self._complete:
                self._read_again()
            return
        if self._status and not self._chunked:
            self._raw = None

    def _read_again(self) -> None:
        """The parser has refused what came: read it without."""
        raw = None if self._raw is None else b"".join(self._raw)
        if self._status and self._chunked and raw and (cut := cut_head(raw)):
            self._raw, self._chunks, self._content = None, ChunkedBody(), []
            self._read_chunks(self._chunks, cut[1])
        elif self._status or self._tidied or raw is None:
            self._unfit = True
        else:
            self._rough = True
            self._read_roughly(raw)

    def _read_roughly(self, raw: bytes) -> None:
        """Read an answer once more from its beginning, with a head that the parser takes, once all of it is there."""
        try:
            clean = tidy(raw)
        except ValueError:
            self._unfit = True
            return
        if clean is not None:
            self._raw, self._headers, self._rough, self._tidied = [], [], False, True
            self._new_parser()
            self._parse(clean)

    def _read_chunks(self, chunks: ChunkedBody, data: bytes | memoryview) -> None:
        """Read a chunked body that the parser has refused."""
        try:
            chunks.feed(data)
        except ValueError:
            self._unfit = True
            return
        self._size = len(chunks.content)
        if chunks.complete or self._size > self._most:
            self._content = [bytes(chunks.content)]
        if chunks.complete:
            self._end(keep=not chunks.has_more)

    def _succeed(self) -> None:
        if not self.over.done():
            self.over.set_result(Reply(self._status, self._headers, b"".join(self._content)))

    # What llhttp calls

    def on_message_begin(self) -> None:
        """The first byte of an answer; or of one that nobody asked for: it must not be taken for the next."""
        self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Those behind the body (trailers) are none."""
        if self._status:
            return
        if b"\x00" in value or b"\x7f" in value:
            self._unfit = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole. Interim ones (RFC 9110, 15.2) are passed over: they are no answers."""
        status = self._parser.get_status_code()
        if self._complete:
            return
        if status < 200:
            self._unfit = status < 100
            self._headers = []
            return
        self._status = status
        self._chunked = any(
            name.lower() == b"transfer-encoding" and b"chunked" in value.lower() for name, value in self._headers
        )
        # It is of no use to send on.
        self._cut_short = self.unsent
        self._unsent.clear()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if not self._complete:
            self._content.append(data)
            self._size += len(data)

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if self._status and not self._complete:
            self._end(keep=True)

    def _end(self, *, keep: bool) -> None:
        self._complete = True
        self.reusable = keep and self._parser.should_keep_alive() and not self._cut_short
        for name, value in self._headers:
            if name.lower() == b"keep-alive" and (found := _KEEP_ALIVE.search(value)):
                self.keep_alive = float(found[1])

    # The clock

    def check(self) -> float:
        """Look whether anything has moved lately; when to look again (loop time, seconds)."""
        now = self._loop.time()
        wait = self._timeouts.write if self._unsent else self._timeouts.read
        if self._held_at is not None:
            return now + wait / LOOKS
        if now >= self._deadline:
            self.fail(TimeoutError())
        elif now >= self._moved + wait:
            self.fail(StalledError())
        return min(self._moved + wait, now + wait / LOOKS, self._deadline)

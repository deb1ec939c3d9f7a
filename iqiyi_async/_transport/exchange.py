"""One request and its answer, as far as they have come, and the clock that they are under.

What belongs here: what is still to be sent, what has come, and when that was too long ago. What must not: sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]


class StalledError(Exception):
    """Nothing moved for as long as was allowed."""


class BrokenError(Exception):
    """The connection ended, or the peer does not speak HTTP."""


class Patience(NamedTuple):
    """How long to wait, in seconds: for the peer to take anything more, for anything of its answer, and for the
    exchange as a whole."""

    taking: float
    answering: float
    whole: float


class Reply(NamedTuple):
    """An answer, read whole. It may hold a token, and futures print their results, so it does not print itself."""

    status: int
    headers: Headers
    content: bytes

    def __repr__(self) -> str:
        return f"<an answer with HTTP {self.status}>"


class Exchange:
    """One request and its answer, as far as they have come, and the clock that they are under."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, patience: Patience, most: int, on_sent: Callable[[int], None] | None
    ) -> None:
        self._loop = loop
        self._patience = patience
        self._on_sent = on_sent
        self.moved = loop.time()
        self._deadline = self.moved + patience.whole
        self.most = most
        self.unsent: deque[tuple[bytes | memoryview, int]] = deque()
        self._on_their_way = 0
        self._written = self.moved
        self.sent = True
        self._status = 0
        self._headers: Headers = []
        self.content = bytearray()
        self.over: asyncio.Future[Reply] = loop.create_future()
        self.timer = loop.call_at(min(self.moved + patience.taking, self._deadline), self._look)

    @property
    def begun(self) -> bool:
        """Whether an answer has begun."""
        return self._status != 0

    def cut(self, most: int) -> bytes | memoryview:
        """The next piece to be sent, of so many bytes at most unless it was joined from smaller ones."""
        part, of_body = self.unsent.popleft()
        if of_body == len(part) > most:
            view = memoryview(part)
            part, rest, of_body = view[:most], view[most:], most
            self.unsent.appendleft((rest, len(rest)))
        self._on_their_way = of_body
        self._written = self._loop.time()
        return part

    def taken(self) -> float:
        """The system has taken that piece: after how many seconds."""
        self.moved = self._loop.time()
        if self._on_sent is not None and self._on_their_way:
            self._on_sent(self._on_their_way)
        return self.moved - self._written

    def answered(self, status: int, headers: Headers) -> None:
        """The head of the answer is there: it is of no use to send on."""
        self._status, self._headers = status, headers
        self.sent = not self.unsent
        self.unsent.clear()

    def succeed(self) -> None:
        """The answer is whole."""
        if not self.over.done():
            self.over.set_result(Reply(self._status, self._headers, bytes(self.content)))

    def fail(self, problem: Exception) -> None:
        """There will be no answer."""
        self.unsent.clear()
        if not self.over.done():
            self.over.set_exception(problem)

    def _look(self) -> None:
        now = self._loop.time()
        late = self.moved + (self._patience.taking if self.unsent else self._patience.answering)
        if now >= self._deadline:
            self.fail(TimeoutError())
        elif now >= late:
            self.fail(StalledError())
        else:
            self.timer = self._loop.call_at(min(late, self._deadline), self._look)

"""One range under way: its lane, its attempts, and its rescue if it is late."""

from __future__ import annotations

import asyncio

from .pool import Grant
from .ranges import Range


class RangeAttempt:
    """One range under way.

    Attributes:
        part: the range.
        grant: its right to a lane.
        attempts: how often it was sent.
        since: when it was last sent (loop time, seconds), or None while it is not being sent.
        rescued: the MD5 under which a second sending has arrived before the first.
        rescue: the second sending, if there was one; there is never a third.
    """

    def __init__(self, part: Range, grant: Grant) -> None:
        self.part = part
        self.grant = grant
        self.attempts = 0
        self.since: float | None = None
        self.rescued: str | None = None
        self.rescue: asyncio.Task[None] | None = None
        self._scope: asyncio.Timeout | None = None

    def scope(self) -> asyncio.Timeout:
        """What a sending runs in: it ends with a `TimeoutError` when a rescue was faster, and never otherwise."""
        self._scope = asyncio.timeout(None)
        return self._scope

    def over(self) -> None:
        """The range has arrived, or never will: nothing of it goes on."""
        self.grant.release()
        if self.rescue is not None:
            self.rescue.cancel()

    def arrived_otherwise(self, md5: str) -> None:
        """The second sending was faster: the first one is called off."""
        self.rescued = md5
        if self.since is not None and self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

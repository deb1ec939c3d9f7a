"""One range under way: its lane, its attempts, and its rescue if it is late."""

from __future__ import annotations

import asyncio

import anyio

from .plan import Range
from .pool import Grant


class Flight:
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
        self._scope: anyio.CancelScope | None = None

    def scope(self) -> anyio.CancelScope:
        """What the sending runs in, so that a rescue can end it."""
        self._scope = anyio.CancelScope()
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
            self._scope.cancel()

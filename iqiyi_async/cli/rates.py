"""How fast an upload is, from its snapshots: pure arithmetic, the clock is the caller's."""

from __future__ import annotations

from collections import deque

import attrs

from iqiyi_async import UploadProgress

#: Seconds that a rate looks back: long enough to be calm, short enough to show a stall.
WINDOW = 10.0
#: Nothing is said of a shorter time (seconds) or a lower rate (bytes per second): it would be wild guesses.
SOON, SLOW = 0.5, 1024.0


@attrs.define
class Meter:
    """One upload as it is seen from outside.

    Bytes are counted when the service has accepted them; the rate and the time left, when they were handed to the
    network, because a chunk of a slow link is accepted only after many seconds.
    """

    latest: UploadProgress | None = None
    _marks: deque[tuple[float, int]] = attrs.field(factory=deque[tuple[float, int]])

    def update(self, progress: UploadProgress, now: float) -> None:
        """Take a snapshot, at `now` seconds of any steady clock."""
        if self.latest is None or self.latest.file_id != progress.file_id:
            # Another id: the upload has begun anew.
            self._marks.clear()
        self.latest = progress
        self._marks.append((now, progress.sent))
        # The one before the window stays: it is where the window begins.
        while len(self._marks) > 2 and self._marks[1][0] < now - WINDOW:
            self._marks.popleft()

    def rate(self, now: float) -> float | None:
        """Bytes per second of late; None while it can't be told."""
        if not self._marks:
            return None
        (since, before), (_, sent) = self._marks[0], self._marks[-1]
        rate = (sent - before) / max(now - since, SOON)
        return rate if now - since >= SOON and rate >= SLOW else None

    def left(self, now: float) -> float | None:
        """Seconds until everything is sent; None while it can't be told."""
        rate = self.rate(now)
        return None if rate is None or self.latest is None else (self.latest.total - self.latest.sent) / rate

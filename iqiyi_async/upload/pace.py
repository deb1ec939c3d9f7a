"""How long ranges take, and when one is late.

Now and then a single request hangs for seconds where its like take a fraction of one: a busy disk at the service, a
lost connection that nobody reported. In the middle of an upload that costs one lane for a while; at its end everybody
waits for it. There, a range that takes far longer than the others did is sent once more, on a lane that has nothing
to do; ranges are idempotent and their MD5 is checked, so whichever answer comes first is as good as the other.
"""

from __future__ import annotations

from collections import deque

#: How many arrivals are remembered, and how many must be known before anything is called late.
REMEMBERED, ENOUGH = 64, 5

#: A range is late after so many times what nine of ten have needed, but never before so many seconds.
FACTOR, LEAST_SECONDS = 3.0, 1.0


class Pace:
    """How long ranges take, learned from those that arrived."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """A range arrived after so many seconds."""
        self._seconds.append(seconds)

    @property
    def patience(self) -> float | None:
        """Seconds after which a range is late; None as long as too few have arrived to tell."""
        if len(self._seconds) < ENOUGH:
            return None
        return max(LEAST_SECONDS, FACTOR * sorted(self._seconds)[len(self._seconds) * 9 // 10])

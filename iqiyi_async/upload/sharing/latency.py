"""How long ranges take, and when one is late.

Now and then a single request takes seconds where others take a fraction of one: a busy disk at the service, a lost
connection that nobody reported. In the middle of an upload that costs one worker for a while; at its end everything
waits for it. So a range that takes far longer than the others did is sent once more, over another connection (a hedge).
Ranges are idempotent and their MD5 is checked, so the first answer of the two is taken. As long as the workers have
other ranges to send, later ranges must also have been completed before it: a slow link has no room for anything twice.
"""

from __future__ import annotations

import math
from collections import deque

#: How many arrivals are remembered, and how many must be known before anything is called late.
REMEMBERED, ENOUGH = 64, 5

#: A range is late after so many times what nine of ten have needed.
FACTOR = 3.0


class LatencyTracker:
    """How long ranges take, learned from those that arrived.

    Args:
        late_seconds: no range is late before.
    """

    def __init__(self, late_seconds: float = 1.0) -> None:
        self._late_seconds = late_seconds
        self._arrived: deque[tuple[int, float, float]] = deque(maxlen=REMEMBERED)

    def note(self, size: int, since: float, now: float) -> None:
        """A range of so many bytes that set out at `since` has arrived."""
        self._arrived.append((size, now - since, since))

    def completed_after(self, since: float) -> int:
        """How many of those that set out later than `since` have arrived: many if it hangs, few if all are slow."""
        return sum(other > since for _, _, other in self._arrived)

    def due(self, size: int, since: float, now: float) -> float:
        """When a range of so many bytes that set out at `since` will be late, or when one can tell more; never as
        long as too few have arrived. A moment, like `now`: a difference of moments may be too small to be waited."""
        if now < since + self._late_seconds:
            # Most ranges end before anybody has to know more.
            return since + self._late_seconds
        patience = self.patience(size)
        return math.inf if patience is None else since + patience

    def patience(self, size: int) -> float | None:
        """Seconds after which a range of so many bytes is late; None as long as too few have arrived to tell.

        A range that is larger than those may take as much longer; a smaller one may take as long, since nobody knows
        how much of their time was the service's.
        """
        if len(self._arrived) < ENOUGH:
            return None
        usual = sorted(seconds * max(1.0, size / other) for other, seconds, _ in self._arrived)
        return max(self._late_seconds, FACTOR * usual[len(usual) * 9 // 10])

"""The service's clock: the machine's time plus an offset that tests turn.

There are no timers: every state that depends on time is worked out when it is asked for, so turning the clock is all
it takes to publish a video or to expire a token.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

#: How far the clock may be turned in all, in seconds: a hundred years of 365 days.
MAX_OFFSET: Final = 100 * 365 * 86_400.0


class Clock:
    """Seconds since the epoch, as the service sees them.

    Args:
        on_advance: called with the new offset, in seconds, after each turn.
    """

    def __init__(self, on_advance: Callable[[float], None] | None = None) -> None:
        self._lock = threading.RLock()
        self._offset = 0.0
        self._on_advance = on_advance

    @property
    def offset(self) -> float:
        """Seconds that the service is ahead of the machine."""
        return self._offset

    def now(self) -> float:
        """The service's time, in seconds since the epoch."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Turn the clock forward. Safe from any thread.

        Args:
            seconds: how far; zero or more.

        Raises:
            ValueError: not a finite number, a negative one, or more than a hundred years ahead in all.
        """
        if isinstance(seconds, bool) or not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"seconds must be a finite number, zero or more, not {seconds!r}")
        with self._lock:
            offset = self._offset + seconds
            if offset > MAX_OFFSET:
                raise ValueError(
                    f"the clock cannot be more than {MAX_OFFSET:.0f} seconds (100 years) ahead;"
                    f" it is {self._offset:.0f} seconds ahead, and advance would make it {offset:.3g}"
                )
            self._offset = offset
        if self._on_advance is not None:
            self._on_advance(offset)

    def restore(self, offset: float) -> None:
        """Take over the offset of an earlier life, in seconds."""
        self._offset = offset

"""How large the ranges are and how many travel at once, where the options say ``"auto"``: learned from what arrives.

Slow links get small ranges, so that little is lost when one fails, and few workers; fast ones get large ranges, so
that the pause between two of them does not count, and as many workers as bring more. Numbers in, numbers out: no
clock, no I/O.

- A range should take about `TARGET_SECONDS`; as long as the number of workers is being looked for, only
  `SEARCH_SECONDS`, so that a rate is soon known. After trouble it is halved.
- Workers are doubled as long as each doubling brings at least a tenth more bytes a second; the first that does not is
  taken back, and tried again much later. After trouble they are halved. A slow link gets only as many as bring
  `LEAST_SHARE` each.
- The last ranges of a large file become smaller and smaller, so that all workers end at the same time.
"""

from __future__ import annotations

import math
from typing import Literal

from ...config import KIB, MIB

#: Long compared with the round trip that each range costs, short enough for a progress display to move.
TARGET_SECONDS, SEARCH_SECONDS = 4.0, 0.5

FIRST_CHUNK, LEAST_CHUNK, MOST_CHUNK = MIB, 256 * KIB, 16 * MIB
FIRST_WORKERS, MOST_WORKERS = 8, 16

#: Buffers never need more than this, in bytes: with many workers, ranges are kept smaller.
MEMORY = 64 * MIB

#: A rate is believed after this many seconds, and when every worker has brought a range. After a doubling that
#: brought nothing, so many such windows pass before the next is tried.
WINDOW_SECONDS, PAUSE = 0.5, 20

#: A worker that brings fewer bytes a second is one too many.
LEAST_SHARE = 64 * KIB

#: A doubling must bring this much.
WORTH_IT = 1.1


class Tuner:
    """The numbers of one client's pool."""

    def __init__(self, max_workers: int | Literal["auto"], chunk_size: int | Literal["auto"]) -> None:
        self._free_workers = max_workers == "auto"
        self._free_chunk = chunk_size == "auto"
        self.most_workers: int = MOST_WORKERS if max_workers == "auto" else max_workers
        self.workers: int = FIRST_WORKERS if max_workers == "auto" else max_workers
        self._chunk = FIRST_CHUNK if chunk_size == "auto" else chunk_size
        self._most_chunk = max(LEAST_CHUNK, min(MOST_CHUNK, MEMORY // self.most_workers))
        self._smallest = self._largest = self._chunk
        self._worker_rate = 0.0
        self._now = -math.inf
        self._begin_window(-math.inf)
        self._best_rate = 0.0
        self._before: int | None = None
        self._pause = 0

    @property
    def chunk_size(self) -> int:
        """Bytes of a range."""
        return self._chunk

    def next_size(self, left: int, whole: int) -> int:
        """Bytes of the next range of a source that can be read at any place.

        Args:
            left: bytes of it that are still to be sent.
            whole: all of its bytes.
        """
        if not self._free_chunk or whole <= self.workers * self._chunk:
            return self._chunk
        return min(self._chunk, max(LEAST_CHUNK, math.ceil(left / self.workers)))

    @property
    def explanation(self) -> str:
        """What was decided, and why; empty where nothing was left to decide."""
        words: list[str] = []
        if self._free_workers:
            rate = f", at {self._best_rate / MIB:.1f} MiB/s in all" if self._best_rate else ""
            words.append(f"{self.workers} workers{rate}")
        if self._free_chunk:
            span = (
                f"{self._smallest / MIB:g}"
                if self._smallest == self._largest
                else f"{self._smallest / MIB:g} to {self._largest / MIB:g}"
            )
            words.append(f"chunks of {span} MiB, at {self._worker_rate / MIB:.1f} MiB/s for each worker")
        return "; ".join(words)

    def arrived(self, size: int, seconds: float, now: float, held: float) -> None:
        """A range was accepted.

        Args:
            size: its bytes.
            seconds: since it set out.
            now: any clock's time in seconds.
            held: seconds for which it held a worker, reading included.
        """
        self._now = now
        rate = size / max(seconds, 1e-6)
        self._worker_rate = rate if not self._worker_rate else 0.7 * self._worker_rate + 0.3 * rate
        if self._free_chunk:
            self._resize(int(self._worker_rate * (SEARCH_SECONDS if self._searching else TARGET_SECONDS)))
        if self._free_workers:
            self._count(size, held, now)

    @property
    def _searching(self) -> bool:
        return self._free_workers and self.workers < self.most_workers and not self._pause

    def trouble(self) -> None:
        """A range did not arrive, or the service asked for less."""
        if self._free_chunk:
            self._resize(0)
        if self._free_workers:
            self.workers = max(1, self.workers // 2)
            self._before, self._pause, self._best_rate = None, PAUSE, 0.0
            self._begin_window(self._now)

    def too_large(self, size: int) -> bool:
        """A range of so many bytes was refused for its size (HTTP 413): smaller ones from now on.

        Returns:
            Whether there are smaller ones; not where the size is fixed, or the least already.
        """
        if not self._free_chunk or size <= LEAST_CHUNK:
            return False
        self._most_chunk = max(LEAST_CHUNK, min(self._most_chunk, size // 2))
        self._chunk = min(self._chunk, self._most_chunk)
        self._smallest = min(self._smallest, self._chunk)
        return True

    def _resize(self, wanted: int) -> None:
        # Powers of two, and one step at a time: an answer that was late by chance does not turn everything over.
        if wanted >= 2 * self._chunk:
            self._chunk = min(self._chunk * 2, self._most_chunk)
        elif wanted < self._chunk // 2:
            self._chunk = max(self._chunk // 2, LEAST_CHUNK)
        self._smallest, self._largest = min(self._smallest, self._chunk), max(self._largest, self._chunk)

    def _count(self, size: int, held: float, now: float) -> None:
        """One range more: what all workers bring is told by what each of them brings while it is held. What arrives in
        a while would tell less: ranges come in bursts, and those under way are not seen."""
        if now - held < self._since:
            return  # It was begun among another number of workers.
        self._window_bytes += size
        self._window_seconds += held
        self._window_ranges += 1
        if now - self._since < WINDOW_SECONDS or self._window_ranges < self.workers:
            return
        rate = self.workers * self._window_bytes / max(self._window_seconds, 1e-6)
        self._begin_window(now)
        self._decide(rate)

    def _begin_window(self, now: float) -> None:
        self._since, self._window_bytes, self._window_seconds, self._window_ranges = now, 0, 0.0, 0

    def _decide(self, rate: float) -> None:
        enough = max(1, int(rate / LEAST_SHARE))
        if enough < self.workers:
            self.workers, self._best_rate, self._before, self._pause = enough, rate, None, PAUSE
            return
        if self._before is not None and rate < self._best_rate * WORTH_IT:
            self.workers, self._before, self._pause = self._before, None, PAUSE
            return
        self._best_rate = rate
        if self._pause:
            self._pause -= 1
            self._before = None
        elif self.workers < self.most_workers:
            self._before, self.workers = self.workers, min(2 * self.workers, self.most_workers)
        else:
            self._before = None

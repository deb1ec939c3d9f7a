"""No competitor but a yardstick: the floor without reading and hashing, to find the ceiling of the sink.

What it sends is not the file, and it does not look at the MD5 of the answer.
"""

from __future__ import annotations

from .calls import Headers, data_of
from .raw_threads import RawConnection, RawThreads


class HollowConnection(RawConnection):
    """Sends the same buffer for every range."""

    def send_range(self, url: str, headers: Headers, file: int, first: int, length: int) -> None:
        """See the base class."""
        data_of(self.send_view(url, headers, self.buffer[:length]))


class Hollow(RawThreads):
    """See the module."""

    def connect(self) -> HollowConnection:
        """See the base class."""
        return HollowConnection(self.task.url, self.task.chunk_size)


COMPETITOR = Hollow

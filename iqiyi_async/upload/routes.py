"""Where the ranges of an upload go: the address that the service named, its backup host, or a documented fallback.

A host's backup (contract, B6) takes over at the first failure, for all uploads of a client. A fallback (contract, C)
takes over for one upload when its address stays unreachable; MD5 and count prove each range wherever it went.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import VideoCloudError
from ..protocol.answers import is_outage, may_be_outage
from ..protocol.hosts import base_of

#: An address is left after so many failures in a row without a success between them, or after so many seconds of them.
#: One that may be about the range itself (HTTP 500) counts half.
FAILURES, SECONDS = 3, 5.0


class BackupHosts:
    """Which of two hosts takes the ranges: the one the service named, or its backup while that one is down."""

    def __init__(self, backups: Mapping[str, str]) -> None:
        self._backups = {base_of(host): base_of(backup) for host, backup in backups.items()}
        self._down: set[str] = set()

    def route(self, upload_url: str) -> str:
        """The address to use now for an `upload_url`."""
        if not self._down or (host := base_of(upload_url)) not in self._down:
            return upload_url
        return self._backups[host] + upload_url[len(host) :]

    def failed(self, upload_url: str, used: str) -> None:
        """A request to `used`, for `upload_url`, did not get through: the next one tries the other host."""
        host = base_of(upload_url)
        if host not in self._backups:
            return
        if base_of(used) == host:
            self._down.add(host)
        else:
            self._down.discard(host)


class Route:
    """The addresses of one upload, in the order in which they are tried.

    Args:
        addresses: the one that the service named, then its fallbacks.
        backups: the backup hosts of the client.
        clock: seconds, never going back.
    """

    def __init__(self, addresses: Sequence[str], backups: BackupHosts, clock: Callable[[], float]) -> None:
        self._addresses = addresses
        self._backups = backups
        self._clock = clock
        self._at = 0
        self._failures = 0.0
        self._since = 0.0
        #: How many addresses were left since a range arrived.
        self._left = 0
        #: How often an address was left for one that had not been tried since a range arrived.
        self.moves: int = 0

    @property
    def upload_url(self) -> str:
        """The address that takes the ranges now, before backup hosts."""
        return self._addresses[self._at]

    def address(self) -> str:
        """The address to use now."""
        return self._backups.route(self.upload_url)

    def leave(self) -> bool:
        """The host that takes the ranges now is known to be down.

        Returns:
            Whether the upload goes on at another address from now on.
        """
        if len(self._addresses) == 1:
            return False
        self._at = (self._at + 1) % len(self._addresses)
        self._failures = 0.0
        self._left += 1
        # Once round: where all of them fail, an upload ends.
        self.moves += self._left < len(self._addresses)
        return True

    def arrived(self) -> None:
        """A range was answered."""
        self._failures, self._left = 0.0, 0

    def failed(self, used: str, error: VideoCloudError) -> bool:
        """A range to `used` did not get through.

        Returns:
            Whether the upload goes on at another address from now on.
        """
        certain = is_outage(error)
        if not certain and not may_be_outage(error):
            return False
        if certain:
            self._backups.failed(self.upload_url, used)
        now = self._clock()
        if not self._failures:
            self._since = now
        self._failures += 1 if certain else 0.5
        return (self._failures >= FAILURES or now - self._since >= SECONDS) and self.leave()

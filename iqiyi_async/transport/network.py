"""What all connections of a client share: the deadlines, the trust of TLS, the hosts that may be asked, and a
transport that the caller may have brought."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import attrs

from .. import _validation
from ..config import KIB, MIB
from ..errors import ResponseError, TransportError
from ..protocol.hosts import is_private_address, origin
from .carrier import Carrier
from .direct import Direct
from .frames import bare
from .http11 import PIECE
from .outcome import Patience

if TYPE_CHECKING:
    from .borrowed import Transport

#: The slowest link that is waited for, in bytes a second, while what was written drains from the system's buffers.
SLOWEST_DRAIN = 64 * KIB
_MOST_BUFFERED = 4 * MIB


@attrs.frozen
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        connect: for a connection.
        stall: for any sign of life once there is one.
    """

    connect: float
    stall: float

    def patience(self, body_size: int) -> Patience:
        """With an exchange whose body has so many bytes: they may still be in the system's buffers when the last
        write is done; and a peer that drips single bytes must not hold a lane for ever."""
        answering = self.stall + min(body_size, _MOST_BUFFERED) / SLOWEST_DRAIN
        whole = self.connect + self.stall * (2 + body_size // PIECE) + 2 * answering
        return Patience(self.stall, answering, whole)


class Network:
    """What all connections of a client share."""

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        trusted: frozenset[str],
        public: bool,
        clock: Callable[[], float],
        transport: Transport | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.trusted = trusted
        self.clock = clock
        self._borrowed = transport
        self._guard_names = public and transport is None
        self._known_names: set[str] = set()
        self.closed = False
        self._tls: ssl.SSLContext | None = None

    def carrier(self) -> Carrier:
        """What carries the requests of one connection."""
        if self._borrowed is None:
            return Direct(self.tls, self.timeouts.connect)
        from .borrowed import Borrowed

        return Borrowed(self._borrowed, self.timeouts.connect)

    async def tls(self) -> ssl.SSLContext:
        """One context for all connections: making one reads a file and takes some 20 ms, so it is done once, in a
        thread."""
        if self._tls is None:
            self._tls = await anyio.to_thread.run_sync(_trust)
        return self._tls

    async def check_name(self, url: str) -> None:
        """Refuse a name, given by the service, that leads to a private address while the configured service is
        public.

        Raises:
            TransportError: the name can't be resolved.
            ResponseError: it is private.
        """
        if not self._guard_names:
            return
        where = origin(url)
        if where in self.trusted or where in self._known_names:
            return
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(self.timeouts.connect):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as problem:
            why = str(problem) or "no answer in time"
            raise TransportError(f"the host {host} was not found: {why}", sent=False) from bare(problem, None)
        if any(is_private_address(str(address[0])) for *_, address in found):
            raise ResponseError(f"the service named the host {host}, which leads to a private address", status=200)
        self._known_names.add(where)


def check_transport(transport: object) -> None:
    """Refuse what is no transport. Only here is the HTTP library loaded that it is one of.

    Raises:
        ConfigurationError: it is something else.
    """
    from .borrowed import Transport

    _validation.kind("transport", transport, Transport)


def _trust() -> ssl.SSLContext:
    """The authorities that the HTTP library trusts. It is loaded for this in the thread that reads them."""
    from .borrowed import trust

    return trust()

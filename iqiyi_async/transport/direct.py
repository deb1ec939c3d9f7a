"""A connection of our own to one host at a time: made when it is needed, kept alive between requests, closed after
the first trouble."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from ..protocol.hosts import Address, address
from .carrier import Errand
from .http11 import Http11
from .outcome import NoAnswerError, Reply, reason

#: Idle connections are closed before usual servers do it (nginx: 75 s), so that a request seldom meets one just
#: closed.
KEEPALIVE = 25.0


class Direct:
    """One connection; for one request at a time."""

    def __init__(self, tls: Callable[[], Awaitable[ssl.SSLContext]], connect_timeout: float) -> None:
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._connection: Http11 | None = None
        self._origin = ("", "", 0)
        self._closed = False

    async def carry(self, errand: Errand) -> Reply:
        """Send a request and read its answer (see `Carrier`)."""
        outgoing = errand.outgoing
        where = address(outgoing.address)
        connection = await self._connected(where)
        return await connection.exchange(
            outgoing.method,
            where.target + outgoing.query,
            errand.headers,
            outgoing.body,
            patience=errand.patience,
            most=errand.most,
            on_sent=errand.on_sent,
        )

    async def aclose(self) -> None:
        """Close the connection. One that is just being made is closed when it is there."""
        self._closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _connected(self, where: Address) -> Http11:
        origin = (where.scheme, where.host, where.port)
        kept = self._connection
        if kept is not None and origin == self._origin and kept.reusable and kept.idle_for < KEEPALIVE:
            return kept
        self._hang_up()
        tls = await self._tls() if where.scheme == "https" else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                self._connection = await Http11.connect(where.host, where.port, tls)
        except TimeoutError:
            raise NoAnswerError("no connection in time", sent=False) from None
        except OSError as problem:
            raise NoAnswerError(reason(problem), sent=False) from problem
        self._origin = origin
        if self._closed:
            # While the connection was being made: nobody else would close it.
            self._hang_up()
            raise NoAnswerError("the connection was closed", sent=False)
        return self._connection

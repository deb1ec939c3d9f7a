"""How a connection is made: the name's addresses, which of them may be connected to, and TLS.

Names are looked up in threads of our own, a few at most: a name server that does not answer holds up nothing else, and
a caller that is cancelled does not wait for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohappyeyeballs
import httpx

from ..._redaction import strip_tracebacks
from ...errors import ConfigurationError, ResponseError
from ...protocol.hosts import is_private_address
from .http11 import Http11
from .tls import start_tls

#: The head start of an address before the next one is tried beside it, in seconds (RFC 8305, 5).
HEAD_START = 0.25

#: Cast, since its stub leaves the parts of an address without a type.
_START = cast("Callable[..., Awaitable[socket.socket]]", getattr(aiohappyeyeballs, "start_connection"))  # noqa: B009

#: So many names are looked up at a time.
MOST_LOOKUPS = 8

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class NameService:
    """Looks up names in threads of its own. Those who ask for the same name at the same time share an answer.

    Args:
        most: so many threads at most; further names wait for one.
    """

    def __init__(self, most: int = MOST_LOOKUPS) -> None:
        self._most = most
        self._running = 0
        self._pending: dict[tuple[str, int], asyncio.Future[list[AddressInfo]]] = {}
        self._queue: deque[tuple[str, int]] = deque()

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of a name, in the system's order.

        Raises:
            OSError: the name is unknown, or no name at all.
        """
        known = _numeric(host, port)
        if known:
            return known
        key = (host, port)
        found = self._pending.get(key)
        if found is None:
            found = self._pending[key] = asyncio.get_running_loop().create_future()
            # Seen even if nobody waits any more.
            found.add_done_callback(lambda future: future.cancelled() or future.exception())
            self._queue.append(key)
            self._start()
        return await asyncio.shield(found)

    def _start(self) -> None:
        while self._queue and self._running < self._most:
            key = self._queue.popleft()
            self._running += 1
            loop = asyncio.get_running_loop()
            # A daemon: the process may end while a name server is silent.
            threading.Thread(target=self._ask, args=(loop, key), name="iqiyi-async name", daemon=True).start()

    def _ask(self, loop: asyncio.AbstractEventLoop, key: tuple[str, int]) -> None:
        host, port = key
        found: list[AddressInfo] = []
        problem: OSError | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            problem = error
        except UnicodeError:
            problem = socket.gaierror(socket.EAI_NONAME, "the host is not a name")
        try:
            loop.call_soon_threadsafe(self._answered, key, found, problem)
        except RuntimeError:
            # The loop is closed: nobody waits.
            return

    def _answered(self, key: tuple[str, int], found: list[AddressInfo], problem: OSError | None) -> None:
        self._running -= 1
        future = self._pending.pop(key)
        if not future.done():
            if problem is None:
                future.set_result(found)
            else:
                future.set_exception(strip_tracebacks(problem, None))
        self._start()


class Connector:
    """Makes the connections of one client.

    Args:
        names: looks up names.
        open_to: the origins that may be anywhere, or None: a name that leads to a private address is refused for all
            others, by the addresses that are connected to.
        ssl_context: for TLS; that of the HTTP library's authorities, or of ``SSL_CERT_FILE``, if None.
        protocol: makes a connection, with or without TLS.
    """

    def __init__(
        self,
        names: NameService,
        *,
        open_to: frozenset[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        protocol: Callable[[bool], Http11] = Http11.over,
    ) -> None:
        self._names = names
        self._protocol = protocol
        self._open_to = open_to
        self._tls = ssl_context
        self._making: asyncio.Future[ssl.SSLContext] | None = None

    async def connect(self, scheme: str, host: str, port: int, seconds: float) -> Http11:
        """Connect to a host.

        Args:
            scheme: http or https.
            host: a name or an address.
            port: the port.
            seconds: how long it may take, all in all.

        Raises:
            TimeoutError: it took longer.
            OSError: it was refused, the name is unknown, or TLS failed.
            ResponseError: the name leads to a private address, which the service must not send us to.
            ConfigurationError: the file with the authorities can't be read.
        """
        tls = await self._context() if scheme == "https" else None
        async with asyncio.timeout(seconds):
            end = await dial(host, port, self._names, lambda found: self._check(scheme, host, port, found))
            connection, loop = self._protocol(tls is not None), asyncio.get_running_loop()
            if tls is None:
                await loop.create_connection(lambda: connection, sock=end)
            else:
                plain, _ = await loop.create_connection(asyncio.Protocol, sock=end)
                await start_tls(plain, connection, tls, host)
        return connection

    def _check(self, scheme: str, host: str, port: int, found: list[AddressInfo]) -> None:
        if self._open_to is None:
            return
        shown = f"[{host}]" if ":" in host else host.rstrip(".")
        if f"{scheme}://{shown}:{port}" in self._open_to:
            return
        if any(is_private_address(str(address[0])) for *_, address in found):
            raise ResponseError(f"the service named the host {host}, which leads to a private address", status=200)

    async def _context(self) -> ssl.SSLContext:
        """One context for all connections: making one reads a file and takes some 20 ms, so a thread does it, once."""
        if self._tls is None:
            making = self._making
            if making is None or making.done():
                making = self._making = _in_thread(_authorities)
            self._tls = await asyncio.shield(making)
        return self._tls


async def dial(
    host: str,
    port: int,
    names: NameService,
    check: Callable[[list[AddressInfo]], None] = lambda found: None,
) -> socket.socket:
    """Connect to the first address of a name that answers (RFC 8305). What one address refuses is that address's.

    Args:
        host: a name or an address.
        port: the port.
        names: looks up names.
        check: called with the addresses before any of them is connected to; may raise.

    Raises:
        OSError: the name is unknown, or none of its addresses can be reached.
    """
    found = await names.look_up(host, port)
    if not found:
        raise OSError("the name leads to no address")
    check(found)
    try:
        return await _START(found, happy_eyeballs_delay=HEAD_START, interleave=1)
    except RuntimeError as problem:
        raise OSError(str(problem)) from problem


def reason(problem: OSError) -> str:
    """What the system, or TLS, says of an error."""
    if isinstance(problem, ssl.SSLError):
        return str(problem)
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)


def _numeric(host: str, port: int) -> list[AddressInfo]:
    """An address that is written as such needs no name service, and no thread to wait for one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    if address.version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    # The zone of a link-local address is a number to the system.
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def _in_thread(job: Callable[[], ssl.SSLContext]) -> asyncio.Future[ssl.SSLContext]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ssl.SSLContext] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(result: ssl.SSLContext | None, problem: BaseException | None) -> None:
        if future.done():
            return
        if problem is not None:
            future.set_exception(problem)
        elif result is not None:
            future.set_result(result)

    def run() -> None:
        result: ssl.SSLContext | None = None
        problem: BaseException | None = None
        try:
            result = job()
        except Exception as error:  # noqa: BLE001 - passed on
            problem = error
        try:
            loop.call_soon_threadsafe(settle, result, problem)
        except RuntimeError:
            return

    threading.Thread(target=run, name="iqiyi-async tls", daemon=True).start()
    return future


def _authorities() -> ssl.SSLContext:
    """A TLS context with the HTTP library's authorities, or those that the environment names."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if not path:
            continue
        try:
            if name == "SSL_CERT_DIR":
                # What is not there is passed over without a word.
                os.scandir(path).close()
            return httpx.create_ssl_context()
        except OSError as problem:
            what = f"the authorities at {path}, which {name} names, can't be read: {reason(problem)}"
            raise ConfigurationError(f"{what}; correct the variable, or pass ssl_context=") from None
    return httpx.create_ssl_context()

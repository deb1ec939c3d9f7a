"""The emulator on a real loopback socket, inside the running event loop.

uvicorn's HTTP/1.1 protocol is used without its server object: that one installs signal handlers, polls ten times a
second, and prints query strings, tokens and all, into an access log.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Self

import uvicorn
from anyio import CancelScope
from uvicorn.server import ServerState

from ._connection import LoopbackConnection
from .app import MAX_HEADERS
from .config import EmulatorConfig
from .emulator import Emulator

#: Seconds that an idle connection is kept: as long as common servers do, so that clients meet no surprise.
KEEP_ALIVE = 75
BACKLOG = 1024
#: Seconds that closing waits for requests, which by then only finish a write to disk.
PATIENCE = 5.0


def check_host(host: str) -> str:
    """The loopback address that a host name means.

    Raises:
        ValueError: not loopback. An emulator takes credentials that everybody can read in its documentation.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError(f"host must be a loopback address such as 127.0.0.1, not {host!r}")


class EmulatorServer:
    """Serves an emulator on loopback: `async with EmulatorServer(config) as server: ... server.endpoint_url`.

    Args:
        emulator: an emulator, or the configuration of one; by default a configuration as it is.
        host: a loopback address.
        port: 0 takes a free one.

    Raises:
        ValueError: the host is not loopback.
    """

    def __init__(
        self, emulator: Emulator | EmulatorConfig | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.emulator: Emulator = emulator if isinstance(emulator, Emulator) else Emulator(emulator)
        self._numbers: Iterator[int] = itertools.count(1)
        self._open: set[LoopbackConnection] = set()
        self._host = check_host(host)
        self._port = port
        self._listener: asyncio.Server | None = None
        self._state = ServerState()

    @property
    def endpoint_url(self) -> str:
        """Where it listens, such as http://127.0.0.1:40123.

        Raises:
            RuntimeError: it has not been started yet.
        """
        if not self._port:
            raise RuntimeError("the server has not started yet")
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open the emulator and listen.

        Raises:
            OSError: the port is taken.
        """
        await self.emulator.start()
        config = uvicorn.Config(
            self.emulator.app,
            http="h11",
            log_config=None,
            lifespan="off",
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            h11_max_incomplete_event_size=2 * MAX_HEADERS,
        )
        config.load()
        # As handed in: uvicorn wraps it in a layer that logs whole requests when the root logger is very talkative.
        config.loaded_app = self.emulator.app
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._listener = await loop.create_server(
                lambda: LoopbackConnection(config, self._state, next(self._numbers), self._open),
                self._host,
                self._port,
                family=family,
                backlog=BACKLOG,
            )
        except BaseException:
            await self.emulator.aclose()
            raise
        self._port = self._listener.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, cut open connections, wait for their requests to end, and close the emulator."""
        with CancelScope(shield=True):
            if self._listener is not None:
                self._listener.close()
            for connection in list(self._open):
                connection.stop()
            self.emulator.world.close()
            await self._end_requests()
            if self._listener is not None:
                await self._listener.wait_closed()
                self._listener = None
            await self.emulator.aclose()

    async def _end_requests(self) -> None:
        """Requests end by themselves when their connection is gone; one that does not is cancelled."""
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def serve(
    config: EmulatorConfig,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[dict[str, str]], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve an emulator until told to stop, or until cancelled. Installs no signal handlers.

    Args:
        config: how it behaves.
        host: a loopback address.
        port: 0 takes a free one.
        on_ready: called once the socket listens, with `endpoint_url`, `app_key` and `app_secret`.
        stop: ends it when set.

    Raises:
        ValueError: the host is not loopback, or the data folder is in use or cannot be read.
        OSError: the port is taken, or the data folder cannot be written.
    """
    async with EmulatorServer(config, host=host, port=port) as server:
        if on_ready is not None:
            secret = config.app_secret
            on_ready({"endpoint_url": server.endpoint_url, "app_key": config.app_key, "app_secret": secret})
        await (stop or asyncio.Event()).wait()

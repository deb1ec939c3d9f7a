"""What the tests of the gateway share: the real emulator, and real web servers on loopback in front of it."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from iqiyi_async import AsyncVideoCloud, Metadata, SqliteJournal
from iqiyi_async.emulator import EmulatorConfig, ThreadedEmulatorServer
from iqiyi_async.web import TusGateway

from ..engine.tools import cloud
from .tus import Tus


@pytest.fixture(scope="session")
def one_emulator() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server:
        yield server


@pytest.fixture
def emulator(one_emulator: ThreadedEmulatorServer) -> ThreadedEmulatorServer:
    one_emulator.reset()
    return one_emulator


class Server(uvicorn.Server):
    """A web server in the test's own loop: blocking calls of the gateway are noticed there."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[str]:
    """An application on loopback: its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=3, **options)
    server = Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def grant(request: Any, upload: Any) -> Metadata:
    return Metadata(upload.metadata.get("filename", "a film"))


class Gateways:
    """Makes gateways and what they need; all of it is closed at the end of the test."""

    def __init__(self, emulator: ThreadedEmulatorServer, folder: Path, stack: AsyncExitStack) -> None:
        self.emulator = emulator
        self.folder = folder
        self.stack = stack
        self.gateway: TusGateway
        self.client: AsyncVideoCloud

    async def __call__(
        self, *, on_create: Callable[..., Awaitable[Any]] = grant, journal: Any = None, **given: Any
    ) -> Tus:
        """A gateway in a server: a client of it."""
        mount = "/uploads"
        names = ("authenticate", "on_finish", "max_size", "expires", "spool")
        options = {name: given.pop(name) for name in names if name in given}
        server = {name: given.pop(name) for name in ("root_path", "proxy_headers") if name in given}
        journal = SqliteJournal(self.folder / "uploads.db") if journal is None else journal
        self.stack.push_async_callback(journal.aclose)
        self.client = await self.stack.enter_async_context(cloud(self.emulator.endpoint_url, journal=journal, **given))
        self.gateway = TusGateway(self.client, on_create=on_create, **options)
        self.stack.push_async_callback(self.gateway.aclose)
        app = Starlette(routes=[Mount(mount, self.gateway)])
        url = await self.stack.enter_async_context(served(app, **server))
        return await self.stack.enter_async_context(Tus(f"{url}{mount}/"))


@pytest.fixture
def gateways(emulator: ThreadedEmulatorServer, tmp_path: Path) -> Gateways:
    return Gateways(emulator, tmp_path, AsyncExitStack())


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[Any]:
    """What a test has started is closed before it is looked whether tasks are left."""
    function, made = pyfuncitem.obj, pyfuncitem.funcargs.get("gateways")
    if not isinstance(made, Gateways):
        return (yield)

    @functools.wraps(function)
    async def closing(*args: Any, **kwargs: Any) -> None:
        async with made.stack:
            await function(*args, **kwargs)

    pyfuncitem.obj = closing
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function

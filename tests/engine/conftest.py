"""Servers for the tests of the engine: the emulator in a thread, and the raw service in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from iqiyi_async.emulator import EmulatorConfig, ThreadedEmulatorServer

from .servers import Service


@pytest.fixture(scope="session")
def one_emulator() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server:
        yield server


@pytest.fixture
def emulator(one_emulator: ThreadedEmulatorServer) -> ThreadedEmulatorServer:
    """An emulator without videos, tokens or faults, in a thread."""
    one_emulator.reset()
    return one_emulator


@pytest.fixture
async def service(anyio_backend: str) -> AsyncIterator[Service]:
    async with Service() as running:
        yield running

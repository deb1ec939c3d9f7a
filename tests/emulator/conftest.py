"""An emulator on a real socket for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from iqiyi_async.emulator import EmulatorConfig, EmulatorServer

from .steps import Steps


class Begin(Protocol):
    """Starts an emulator with this configuration and authorizes."""

    async def __call__(self, **config: Any) -> Steps: ...


@pytest.fixture
async def begin(anyio_backend: str) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:

        async def start(**config: Any) -> Steps:
            server = await stack.enter_async_context(EmulatorServer(EmulatorConfig(**config)))
            steps = Steps(server)
            await steps.authorize()
            return steps

        yield start


@pytest.fixture
async def steps(begin: Begin) -> Steps:
    return await begin()

"""What the suites have in common: how the thing under test is made, opened again and closed.

What belongs here: the frame. What must not: what a store or a journal must do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import pytest

__all__ = ["KEY", "OTHER", "Contract", "cancelled", "together"]

T = TypeVar("T")

KEY = "0a1b2c3d"
OTHER = "ffeeddcc"


class Contract(Generic[T]):
    """A suite to inherit from.

    Attributes:
        patience: seconds after which a test fails, however slow the thing is.
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio
    patience: float = 20.0

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The event loop of these tests; `iqiyi_async` needs asyncio."""
        return "asyncio"

    async def make(self) -> T:
        """A fresh and empty one."""
        raise NotImplementedError("say how to make what is to be tested: async def make(self)")

    async def again(self, made: T) -> T:
        """The same content, as another process would open it. What lives in one process only is itself."""
        return made

    async def close(self, made: T) -> None:
        """Let go of one; by default with its `aclose`, if it has that."""
        close = getattr(made, "aclose", None)
        if close is not None:
            await close()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[T, None]:
        """A fresh one, for as long as a test may take."""
        made = await self.make()
        try:
            async with asyncio.timeout(self.patience):
                yield made
        finally:
            await self.close(made)

    @asynccontextmanager
    async def opened_twice(self) -> AsyncGenerator[tuple[T, T], None]:
        """A fresh one, and the same opened by somebody else."""
        async with self.opened() as made:
            same = await self.again(made)
            try:
                yield made, same
            finally:
                if same is not made:
                    await self.close(same)


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run all at once; the first error ends the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end; an error of theirs is raised."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome

"""Counting the checkpoints of a piece of asynchronous work, and acting at one of them.

A checkpoint is a step of a task: the moment at which the loop begins a coroutine, or goes on with one that had yielded
to it. Every task that is made while the work lasts counts, so that acting at each number in turn reaches every place
at which a cancellation can arrive.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any


class Checkpoints:
    """A task factory that counts steps.

    Args:
        at: at which step to act, from 1; 0 never.
    """

    def __init__(self, at: int = 0) -> None:
        self.count = 0
        self.act: Callable[[], object] = lambda: None
        self._at = at

    def step(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.act()

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_Counted(coro, self), loop=loop, **options)


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine that reports its steps."""

    def __init__(self, coro: Coroutine[Any, Any, Any], checkpoints: Checkpoints) -> None:
        self._coro = coro
        self._checkpoints = checkpoints

    def send(self, value: Any) -> Any:
        self._checkpoints.step()
        return self._coro.send(value)

    def throw(self, *error: Any) -> Any:
        self._checkpoints.step()
        return self._coro.throw(*error)

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()

    def __getattr__(self, name: str) -> Any:
        # What inspect looks at: whether it is running, suspended, where.
        return getattr(self._coro, name)


def open_sockets(port: int) -> list[int]:
    """The descriptors of this process that are connected to a port of this machine."""
    return [fd for fd in _descriptors() if _peer(fd) == port]


def open_files(*names: str) -> list[Path]:
    """Which files of these names are open in this process."""
    paths: list[Path] = []
    for fd in _descriptors():
        try:
            paths.append(Path(f"/proc/self/fd/{fd}").readlink())
        except FileNotFoundError:
            continue
    return [path for path in paths if path.name in names]


def _descriptors() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def _peer(fd: int) -> int | None:
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        with socket.socket(fileno=os.dup(fd)) as end:
            address = end.getpeername()
    except OSError:
        return None
    return address[1] if isinstance(address, tuple) else None

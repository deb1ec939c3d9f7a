"""What the tests of the engine share: quick policies, sources, and looking for what was left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, RetryPolicy, UploadOptions
from iqiyi_async._runtime import Timing

KEY, SECRET = "emulator-app-key", "emulator-app-secret"
NAME = Metadata("A film")

#: As often as usual, but without the waits.
QUICK = RetryPolicy(initial_backoff=0.001, max_backoff=0.002)
ONCE = RetryPolicy(max_attempts=1)


def timed(**seconds: Any) -> type[AsyncVideoCloud]:
    """The class of clients with another `Timing`."""

    class Timed(AsyncVideoCloud):
        _timing = Timing(**seconds)

    return Timed


def cloud(url: str, *, timing: dict[str, Any] | None = None, **options: Any) -> AsyncVideoCloud:
    """A client of a server on one address. What is not an argument of the client becomes one of its options."""
    names = ("token_store", "journal", "transport", "retry", "call_retry", "ssl_context", "pool")
    own = {name: options.pop(name) for name in names if name in options}
    own.setdefault("retry", QUICK)
    settings = {"chunk_size": 64 * 1024, "max_workers": 4, "doubt_patience": 0.1, **options}
    client = timed(**timing) if timing else AsyncVideoCloud
    return client(KEY, SECRET, endpoints=Endpoints.single(url), options=UploadOptions(**settings), **own)


def content(size: int) -> bytes:
    """Bytes that repeat nowhere near a chunk, so that two chunks are never alike."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """Bytes as a stream."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Reader:
    """An object with an async `read`, like the upload of a web framework."""

    def __init__(self, data: bytes, *, most: int = 1 << 20) -> None:
        self._data = data
        self._most = most
        self._at = 0
        self.filename = "holiday.MP4"
        self.size = len(data)

    async def read(self, size: int = -1) -> bytes:
        size = min(self._most, size if size >= 0 else len(self._data))
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece


async def until(condition: Callable[[], bool], what: str = "it", seconds: float = 5.0) -> None:
    """Wait for something that nobody announces, such as a server noticing that a connection was closed."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
    assert condition(), what


async def in_time(work: Awaitable[Any], seconds: float = 5.0) -> Any:
    """Work that must not hang."""
    async with asyncio.timeout(seconds):
        return await work


def open_paths() -> list[str]:
    """The regular files that this process holds open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the descriptor of this very listing
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found.append(target)
    return found


def idle_workers(client: AsyncVideoCloud) -> bool:
    """Whether every worker and every connection of a client has been given back."""
    http = client._runtime._http
    return client._runtime.pool.busy == 0 and http._control.busy == http._ranges.busy == 0

"""A stage for one upload: a real client, a real service, and a gate between them that opens for one request at a time.

So an upload can be stopped at any request, and there cancelled, killed, or met by a fault, and then go on.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Literal

import httpx

from iqiyi_async import (
    AsyncVideoCloud,
    ChunkReceipt,
    Endpoints,
    Metadata,
    RetryPolicy,
    SqliteJournal,
    UploadJournal,
    UploadOptions,
    UploadReceipt,
    VideoCloudError,
)
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer
from iqiyi_async.stores import JournalEntry, Phase

from ..doubles import VersionedStore

CHUNK, SIZE = 700, 4000
META = Metadata("On stage")
Fault = Literal["none", "refused", "lost", "busy", "garbage"]
#: The gate opens by itself for what concerns the token only.
FREE = ("/api/iqiyi/authorize", "/api/oauth2/token")
#: How long a client that could go on may take for its next request, in seconds; more only makes a test slower.
SOON = 0.03
PATIENCE = 10.0
LEASE = 61.0


class Gate(httpx.AsyncBaseTransport):
    """Requests wait here until they are let through."""

    def __init__(self) -> None:
        self._way = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))
        self.waiting: list[tuple[str, asyncio.Future[Fault]]] = []
        self.arrival = asyncio.Event()
        self.dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault: Fault = "none" if request.url.path in FREE else await self._turn(request.url.path)
        if self.dead or fault == "refused":
            raise httpx.ConnectError("refused")
        if fault in ("busy", "garbage"):
            return httpx.Response(503 if fault == "busy" else 200, content=b"<html>")
        response = await self._way.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        if fault == "lost":
            raise httpx.ReadError("reset")
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    async def _turn(self, path: str) -> Fault:
        entry = (path, asyncio.get_running_loop().create_future())
        self.waiting.append(entry)
        self.arrival.set()
        try:
            return await entry[1]
        finally:
            self.waiting.remove(entry)

    async def aclose(self) -> None:
        await self._way.aclose()


class Stage:
    """One source, and whatever happens to its uploads. Everything here runs in one event loop."""

    def __init__(self, server: ThreadedEmulatorServer, folder: Path, on_failure: Any) -> None:
        self.server = server
        self.content = bytes(n * n % 251 for n in range(SIZE))
        self.path = folder / "film.mp4"
        self.path.write_bytes(self.content)
        self.store = VersionedStore()
        self.ended: UploadReceipt | VideoCloudError | None = None
        self._folder = folder
        self._on_failure = on_failure
        self._late = 0.0
        self._task: asyncio.Task[UploadReceipt] | None = None

    @property
    def running(self) -> bool:
        """Whether an upload is under way."""
        return self._task is not None and not self._task.done()

    @property
    def waiting(self) -> int:
        """How many requests stand at the gate."""
        return len(self._gate.waiting)

    async def open(self) -> None:
        """A process begins."""
        self._gate = Gate()
        self._journal = DyingJournal(SqliteJournal(self._folder / "uploads.db", clock=lambda: time.time() + self._late))
        self._cloud = AsyncVideoCloud(
            DEFAULT_APP_KEY,
            DEFAULT_APP_SECRET,
            endpoints=Endpoints.single(self.server.endpoint_url),
            token_store=self.store,
            journal=self._journal,
            options=UploadOptions(max_workers=2, chunk_size=CHUNK, on_failure=self._on_failure),
            retry=RetryPolicy(max_attempts=4, initial_backoff=0.001, max_backoff=0.002),
            transport=self._gate,
        )

    async def close(self) -> None:
        """It ends."""
        await self._cloud.aclose()
        await self._gate.aclose()
        await self._journal.aclose()

    async def start(self) -> None:
        """Begin to upload, or to go on."""
        self.ended = None
        self._task = asyncio.create_task(self._cloud.upload(self.path, META))
        await self._settle()

    async def let_through(self, which: int, fault: Fault) -> None:
        """Open the gate for one of those who wait."""
        _, turn = self._gate.waiting[which % self.waiting]
        turn.set_result(fault)
        await self._settle()

    async def cancel(self) -> None:
        """The caller has enough. What the client still has to say gets through."""
        assert self._task is not None
        self._task.cancel()
        await self.run_to_the_end()

    async def kill(self) -> None:
        """The process dies; another begins when its lease is over."""
        self._gate.dead = self._journal.dead = True
        if self.running:
            assert self._task is not None
            self._task.cancel()
            await self.run_to_the_end()
        await self.close()
        self._late += LEASE
        self._task = None
        await self.open()

    async def refresh(self) -> None:
        """Renew the token."""
        await self._cloud.refresh_token()

    async def run_to_the_end(self) -> None:
        """Let everything through until the upload has ended."""
        while self.running:
            for _, turn in list(self._gate.waiting):
                if not turn.done():
                    turn.set_result("none")
            await self._settle()

    async def remembered(self) -> list[JournalEntry]:
        """What the journal holds."""
        return [entry for key in self._journal.keys if (entry := await self._journal.inner.load(key)) is not None]

    async def _settle(self) -> None:
        """Wait until the client stands at the gate again, or has ended."""
        assert self._task is not None
        arrived = asyncio.ensure_future(self._arrived())
        # With others at the gate there may be nothing more to come; without, there must be: a request, or the end.
        patience = SOON if any(not turn.done() for _, turn in self._gate.waiting) else PATIENCE
        await asyncio.wait([arrived, self._task], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None and not isinstance(error, VideoCloudError):
                raise error
            self.ended = error or self._task.result()

    async def _arrived(self) -> None:
        self._gate.arrival.clear()
        await self._gate.arrival.wait()


class DyingJournal:
    """A journal whose process may die: from then on nothing gets there."""

    def __init__(self, inner: UploadJournal) -> None:
        self.inner = inner
        self.keys: set[str] = set()
        self.dead = False

    shared = False

    def _living(self, key: str) -> UploadJournal:
        self.keys.add(key)
        return self._alive()

    def _alive(self) -> UploadJournal:
        if self.dead:
            raise OSError("the process is dead")
        return self.inner

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        return await self._living(key).acquire(key, owner, ttl)

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        return await self._living(key).renew(key, fence, ttl)

    async def release(self, key: str, fence: int) -> bool:
        return await self._living(key).release(key, fence)

    async def load(self, key: str) -> JournalEntry | None:
        return await self._living(key).load(key)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        return await self._living(key).begin(key, fence, entry)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        return await self._living(key).record(key, fence, chunk)

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        return await self._living(key).advance(key, fence, phase)

    async def forget(self, key: str, fence: int | None = None) -> bool:
        return await self._living(key).forget(key, fence)

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        return await self._alive().find(size, digest)

    async def aclose(self) -> None:
        await self.inner.aclose()

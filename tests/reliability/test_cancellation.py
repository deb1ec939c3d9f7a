"""Cancelled at any checkpoint, an upload leaves no task, socket, file or lease, and the service as it was promised."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    MemoryJournal,
    Metadata,
    RetryPolicy,
    SqliteJournal,
    UploadJournal,
    UploadOptions,
    UploadReceipt,
)
from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    EmulatorConfig,
    Fault,
    FaultPlan,
    ThreadedEmulatorServer,
)

from .checkpoints import Checkpoints, open_files, open_sockets

CHUNK = 1000
DATA = bytes(range(256)) * 11
META = Metadata("Cancelled")
#: What belongs to the client, not to the upload: others may be waiting for the token, too.
RENEWAL = {"iqiyi-async token renewal", "iqiyi-async connect"}

Work = Callable[[], Awaitable[UploadReceipt]]


async def by_task(checkpoints: Checkpoints, work: Work) -> UploadReceipt | None:
    task = asyncio.ensure_future(work())
    checkpoints.act = task.cancel
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def by_timeout(checkpoints: Checkpoints, work: Work) -> UploadReceipt | None:
    try:
        async with asyncio.timeout(None) as deadline:
            checkpoints.act = lambda: deadline.reschedule(0)
            return await work()
    except TimeoutError:
        return None


async def by_scope(checkpoints: Checkpoints, work: Work) -> UploadReceipt | None:
    with anyio.CancelScope() as scope:
        checkpoints.act = scope.cancel
        return await work()
    return None


@attrs.define
class Case:
    """One way to cancel one kind of upload."""

    server: ThreadedEmulatorServer
    path: Path
    journal: UploadJournal | None
    on_failure: Any
    cancel: Callable[[Checkpoints, Work], Awaitable[UploadReceipt | None]]

    @property
    def port(self) -> int:
        return int(self.server.endpoint_url.rsplit(":", 1)[1])

    def client(self) -> AsyncVideoCloud:
        return AsyncVideoCloud(
            DEFAULT_APP_KEY,
            DEFAULT_APP_SECRET,
            endpoints=Endpoints.single(self.server.endpoint_url),
            options=UploadOptions(max_workers=2, chunk_size=CHUNK, on_failure=self.on_failure),
            retry=RetryPolicy(max_attempts=3, initial_backoff=0.002),
            journal=self.journal,
        )

    async def run(self, at: int) -> tuple[UploadReceipt | None, int]:
        """Upload, cancel at a checkpoint, and look at what is left of it. Returns the receipt, if it came to one."""
        checkpoints = Checkpoints(at)
        cloud = self.client()
        loop = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        loop.set_task_factory(checkpoints)
        try:
            receipt = await self.cancel(checkpoints, lambda: cloud.upload(self.path, META))
        finally:
            loop.set_task_factory(None)
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not left or min(RENEWAL - {"iqiyi-async connect"}) in left, f"step {at} left tasks: {left}"
        assert left <= RENEWAL, f"step {at} left tasks: {left}"
        assert open_files(self.path.name) == [], f"step {at} left the source open"
        assert len(cloud._runtime.uploads) == 0
        assert cloud._runtime.pool.free == 2, f"step {at} left a lane taken"
        await cloud.aclose()
        for _ in range(5):
            await asyncio.sleep(0)  # turns in which the loop closes the sockets of connections that were cut
        assert asyncio.all_tasks() == before, f"step {at} left a task of the client"
        assert open_sockets(self.port) == [], f"step {at} left a connection"
        return receipt, checkpoints.count

    async def resume(self, at: int) -> UploadReceipt:
        """The same upload, by another client: it meets no lease, and continues what is there."""
        async with self.client() as cloud:
            receipt = await cloud.upload(self.path, META)
        assert self.server.content(receipt.file_id) == DATA, f"after step {at} other bytes"
        return receipt

    def videos(self) -> dict[str, str]:
        return {file_id: view.state.value for file_id, view in self.server.files.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedEmulatorServer]:
    # One range is turned away at first: so there is a back-off to be cancelled, too.
    faults = FaultPlan([Fault(operation="upload_chunk", call=2, status=503)])
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0, faults=faults)) as running:
        yield running


def make_journal(kind: str, folder: Path) -> UploadJournal | None:
    return {"none": lambda: None, "memory": MemoryJournal, "sqlite": lambda: SqliteJournal(folder / "uploads.db")}[
        kind
    ]()


#: How it is cancelled, with which journal, and at every which checkpoint.
CASES = [
    (by_task, "none", 1),
    (by_task, "memory", 1),
    (by_task, "sqlite", 3),
    (by_timeout, "sqlite", 4),
    (by_scope, "sqlite", 3),
]


@pytest.mark.parametrize(("cancel", "journal", "stride"), CASES)
@pytest.mark.parametrize("on_failure", ["keep", "cancel"])
def test_cancelled_at_every_checkpoint(
    server: ThreadedEmulatorServer, tmp_path: Path, cancel: Any, journal: str, on_failure: str, stride: int
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(DATA)
    for at in itertools.count(1, stride):
        case = Case(server, path, make_journal(journal, tmp_path / str(at)), on_failure, cancel)
        server.reset()
        receipt, count = asyncio.run(case.run(at))
        check_service(case, at, receipt)
        asyncio.run(check_resumption(case, at, receipt))
        if count < at:
            # It was never cancelled: every checkpoint has been met.
            assert receipt is not None
            assert at > 30, "an upload has more checkpoints than that"
            return


def check_service(case: Case, at: int, receipt: UploadReceipt | None) -> None:
    """The service holds what was promised."""
    videos = case.videos()
    states = list(videos.values())
    assert len(states) <= 1, f"step {at}: {videos}"
    if receipt is not None:
        assert states == ["published"]
        assert case.server.content(receipt.file_id) == DATA
    elif case.on_failure == "cancel":
        assert states in ([], ["cancelled"], ["published"]), f"step {at}: {states}"


async def check_resumption(case: Case, at: int, receipt: UploadReceipt | None) -> None:
    """A second upload goes on where the first was, and there is one video in the end."""
    before = case.videos()
    sent = accepted(case)
    again = await case.resume(at)
    published = [view.file_id for view in case.server.published()]
    if case.journal is None:
        return
    assert published == [again.file_id], f"step {at}: {case.videos()}"
    twice = accepted(case) - len(DATA)
    if case.on_failure == "keep" and before:
        assert again.resumed_bytes <= sent
        assert twice <= 2 * CHUNK, f"step {at}: {twice} bytes were sent again"
    if receipt is not None:
        assert again.resumed_bytes == len(DATA)
        assert twice == 0
    if isinstance(case.journal, SqliteJournal):
        await case.journal.aclose()


def accepted(case: Case) -> int:
    """Bytes of ranges that the service has taken, repetitions and all."""
    exchanges = [each for each in case.server.history if each.operation == "upload_chunk" and each.code == "A00000"]
    return sum((each.last or 0) - (each.first or 0) + 1 for each in exchanges)

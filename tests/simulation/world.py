"""One run: a source, a service, and processes that upload it, fail, are cancelled or killed, and try again.

Everything that is random comes from the seed: sizes, options, weather, moments. The last process has good weather, so
that every run ends with the video published.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs

from iqiyi_async import (
    AsyncVideoCloud,
    ChunkReceipt,
    Endpoints,
    MemoryJournal,
    Metadata,
    UploadReceipt,
    VideoCloudError,
)
from iqiyi_async._runtime import Timing
from iqiyi_async.emulator.config import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, EmulatorConfig
from iqiyi_async.stores import JournalEntry, Phase

from ..doubles import VersionedStore
from .clock import VirtualLoop
from .network import Network
from .script import LEASE, Attempt, Script
from .service import BASE, EPOCH, LocalService

#: No upload of these takes longer, in seconds of the loop: every wait has a deadline, and there are only so many.
LONGEST = 6 * 3600.0

#: Tasks that may outlive a process: what is still on its way, and exchanges that no timeout of the network ends.
OF_THE_NETWORK = ("late arrival", "iqiyi-async exchange")


class ProcessJournal:
    """One process's way to the journal that all share: once it is dead, nothing of it gets there."""

    def __init__(self, shared: MemoryJournal) -> None:
        self._shared = shared
        self.dead = False

    shared = False

    @property
    def _journal(self) -> MemoryJournal:
        if self.dead:
            raise OSError("the process is dead")
        return self._shared

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        return await self._journal.acquire(key, owner, ttl)

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        return await self._journal.renew(key, fence, ttl)

    async def release(self, key: str, fence: int) -> bool:
        return await self._journal.release(key, fence)

    async def load(self, key: str) -> JournalEntry | None:
        return await self._journal.load(key)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        return await self._journal.begin(key, fence, entry)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        return await self._journal.record(key, fence, chunk)

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        return await self._journal.advance(key, fence, phase)

    async def forget(self, key: str, fence: int | None = None) -> bool:
        return await self._journal.forget(key, fence)

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        return await self._journal.find(size, digest)

    async def aclose(self) -> None:
        """The shared one stays."""


@attrs.define
class Run:
    """A run and what is known of it.

    Attributes:
        script: what was planned.
        content: the source.
        made: for each attempt, the videos that were finished while it ran or by what it had sent.
        outcomes: for each attempt, its receipt, its error, or why it ended.
        trace: every request.
        chunks: ranges that the service accepted.
    """

    script: Script
    content: bytes = attrs.field(repr=False)
    made: list[set[str]] = attrs.field(factory=list[set[str]])
    outcomes: list[Any] = attrs.field(factory=list[Any])
    trace: list[str] = attrs.field(factory=list[str], repr=False)
    problems: list[str] = attrs.field(factory=list[str])
    chunks: int = 0


def simulate(seed: int) -> Run:
    """Carry out the run of a seed. What must hold is looked at on the way; see `problems`.

    Raises:
        HangError: everybody waits for ever.
    """
    script = Script.of(seed)
    run = Run(script, random.Random(~seed).randbytes(script.size))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_World(run, virtual_client(runner.get_loop(), seed)).play())
    return run


def virtual_client(loop: asyncio.AbstractEventLoop, seed: int) -> type[AsyncVideoCloud]:
    """The class of clients that go by the loop's time and the seed's chances."""

    class VirtualClient(AsyncVideoCloud):
        _timing = Timing(
            wall_clock=lambda: EPOCH + loop.time(),
            lease_clock=loop.time,
            random=random.Random(seed + 1).random,
        )

    return VirtualClient


class _World:
    """Everything that lives as long as a run."""

    def __init__(self, run: Run, client: type[AsyncVideoCloud]) -> None:
        self._run = run
        self._client = client
        self._script = run.script
        self._chance = random.Random(run.script.seed + 2)

    async def play(self) -> None:
        """All attempts, one after the other."""
        run, script = self._run, self._script
        loop = asyncio.get_running_loop()
        config = EmulatorConfig(publish_after=5.0, token_lifetime=script.token_lifetime)
        self._service = LocalService(loop.time, config, strict=script.strict)
        self._store = VersionedStore()
        self._journal = MemoryJournal(clock=loop.time)
        for attempt in script.attempts:
            if attempt is script.attempts[-1]:
                await asyncio.sleep(LEASE)  # whatever an earlier one has left has settled by now
            before = set(self._service.finished())
            run.trace.append(f"--- {attempt}")
            run.outcomes.append(await self._attempt(attempt))
            # The service's names are the one thing that the seed does not decide.
            run.trace.append("--- " + re.sub("[0-9a-f]{32}", "(a video)", repr(run.outcomes[-1])))
            run.made.append(set(self._service.finished()) - before)
            await asyncio.sleep(attempt.rest)
        run.chunks = self._service.accepted
        run.problems += list(self._problems())

    async def _attempt(self, attempt: Attempt) -> UploadReceipt | VideoCloudError | str:
        script, loop = self._script, asyncio.get_running_loop()
        network = Network(self._service, attempt.weather, self._chance, self._run.trace)
        journal = ProcessJournal(self._journal)
        others = asyncio.all_tasks()
        cloud = self._client(
            DEFAULT_APP_KEY,
            DEFAULT_APP_SECRET,
            endpoints=Endpoints.single(BASE),
            token_store=self._store,
            journal=journal if script.journal else None,
            options=script.options,
            retry=script.retry,
            transport=network,
        )
        source: Any = self._stream() if script.stream else self._run.content
        size = script.size if script.stream else None
        task = loop.create_task(cloud.upload(source, Metadata("Simulated"), file_type="mp4", size=size))
        ended = "cancelled"
        if attempt.killed is not None:

            def kill() -> None:
                network.dead = journal.dead = True
                task.cancel()

            loop.call_later(attempt.killed, kill)
            ended = "killed"
        if attempt.cancelled is not None:
            loop.call_later(attempt.cancelled, task.cancel)
        began = loop.time()
        await asyncio.wait([task], timeout=LONGEST)
        if not task.done():
            self._run.problems.append(f"an upload took longer than {LONGEST} s")
            task.cancel()
        await asyncio.wait([task])
        await cloud.aclose()
        left = {each for each in asyncio.all_tasks() - others if each.get_name() not in OF_THE_NETWORK}
        if left:
            self._run.problems.append(f"tasks are left: {left}")
        await network.drained()
        if task.cancelled():
            if attempt.killed is None and attempt.cancelled is None and loop.time() - began < LONGEST:
                self._run.problems.append("cancelled, and nobody did")
            return ended
        error = task.exception()
        if error is None:
            self._check_success(task.result(), attempt)
            return task.result()
        if not isinstance(error, VideoCloudError):
            self._run.problems.append(f"an error without a type of its own: {error!r}")
            return repr(error)  # type: ignore[return-value]
        return error

    async def _stream(self) -> AsyncIterator[bytes]:
        at = 0
        while at < len(self._run.content):
            size = self._chance.randint(1, 3000)
            yield self._run.content[at : at + size]
            at += size
            await asyncio.sleep(self._chance.expovariate(100.0))

    def _check_success(self, receipt: UploadReceipt, attempt: Attempt) -> None:
        """Success means that every byte is there, and that the service was told to publish."""
        held = self._service.finished().get(receipt.file_id)
        if held is None:
            self._run.problems.append(f"a receipt for {receipt.file_id}, which is not finished")
        elif held != self._run.content:
            self._run.problems.append(f"a receipt for {receipt.file_id}, whose bytes are others")
        if receipt.size != len(self._run.content):
            self._run.problems.append(f"a receipt for {receipt.size} bytes")

    def _problems(self) -> Iterator[str]:
        run, script = self._run, self._script
        finished = self._service.finished()
        yield from (f"{name} is finished with other bytes" for name, held in finished.items() if held != run.content)
        yield from (f"one upload made the videos {made}" for made in run.made if len(made) > 1)
        if script.journal and not script.stream and len(finished) > 1:
            yield f"several processes made the videos {set(finished)}"
        if not isinstance(run.outcomes[-1], UploadReceipt):
            yield f"in good weather it ended with {run.outcomes[-1]!r}"
        versions = self._store.versions
        if sorted(set(versions)) != versions:
            yield f"versions of the token did not grow: {versions}"

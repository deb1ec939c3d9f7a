"""The face of batches: add, run, report, status, retry, stop."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import anyio
import attrs

from .. import _validation
from ..client import AsyncVideoCloud
from ..errors import ConfigurationError, VideoCloudError
from ..models import PlayUrls, UploadItem, UploadOutcome
from ..upload.sharing.timetable import Timetable
from .adding import lots_of
from .afterwards import OnSuccess
from .claims import ask
from .ledger.base import Ledger, open_ledger
from .manifest.manifest import Manifest
from .models import AddResult, BatchStatus, ItemRecord, ItemState
from .report import BatchReport, ReportItem
from .runner import Runner, RunningItem
from .settings import Settings
from .sources import OpenSource, source_text

#: A ledger that can't be reached when it is opened is tried for so many seconds: it may be restarting.
OPENING = 10.0
#: Items are read for a report so many at a time.
PAGE = 1000
#: Play URLs are asked for with so many requests at once; play pages for so many videos with one.
AT_ONCE, VIDEOS = 8, 100

Items = Iterable[UploadItem] | AsyncIterable[UploadItem]


class Batch:
    """Many uploads, kept in a ledger: what is done is never done twice, and what is not goes on, after a crash too, in
    any number of processes and, with PostgreSQL, on any number of machines.

    Use it as an async context manager.

    Args:
        cloud: the client; None for looking, stopping and retrying only.
        ledger: ``"sqlite:///spring.ledger"`` (relative; four slashes for an absolute path) for the processes of one
            machine, ``"postgresql://user@host/database"`` for several machines; or a path.
        name: of the batch: a ledger may hold several.
        must_exist: an SQLite ledger that is missing is an error; otherwise it is made.
        open_source: gives the source of an item whose source is a URL: called with it, at once or awaited; anything
            that `AsyncVideoCloud.upload` takes, but for streams. By default an `HttpSource` or an `ObjectSource`.
            Secret headers, which the ledger never holds, are given here again.
        root: what relative paths start from on this machine; the current folder if None. Items are known by their paths
            below it, so each machine may have them elsewhere.
        max_attempts: after so many failures of its own an item is given up (1 to 1000).
        first_backoff: the wait after its first failure, in seconds; each further failure doubles it.
        max_backoff: the longest wait, in seconds.
        lease_seconds: how long a runner that died keeps the others from its items, in seconds.
        ledger_patience: how long a ledger that can't be reached is waited for, in seconds.
        max_bandwidth: bytes a second, shared evenly by all runners that were given it: a number, or a text such as
            ``"20MB"``, or a timetable in local time such as ``"08:00-20:00=10MB,else=off"``. The client's own if None,
            and again after a run.
        on_success: what becomes of a file once its video was verified: ``"none"``, ``"delete"``, or ``"move:DIR"``. It
            happens after publication if that is waited for, else after the service confirmed the upload.

    Raises:
        ConfigurationError: an argument can't work.
    """

    def __init__(
        self,
        cloud: AsyncVideoCloud | None,
        ledger: str | os.PathLike[str],
        *,
        name: str = "default",
        must_exist: bool = False,
        open_source: OpenSource | None = None,
        root: str | os.PathLike[str] | None = None,
        max_attempts: int = 5,
        first_backoff: float = 5.0,
        max_backoff: float = 600.0,
        lease_seconds: float = 60.0,
        ledger_patience: float = 600.0,
        max_bandwidth: int | str | None = None,
        on_success: str = "none",
    ) -> None:
        if cloud is not None:
            _validation.kind("cloud", cloud, AsyncVideoCloud)
        if open_source is not None and not callable(open_source):
            raise ConfigurationError("open_source must be a function of a URL")
        _validation.text("name", name, limit=200)
        if isinstance(max_bandwidth, int):
            _validation.whole("max_bandwidth", max_bandwidth, least=0, most=2**50, unit="bytes a second")
        self._cloud = cloud
        self._name = name
        _validation.boolean("must_exist", must_exist)
        url = Path(ledger) if isinstance(ledger, os.PathLike) else ledger
        self._ledger: Ledger = open_ledger(url, name, must_exist=must_exist)
        self._settings = Settings(
            root=Path() if root is None else Path(root),
            open_source=open_source,
            max_attempts=_validation.whole("max_attempts", max_attempts, least=1, most=1000),
            first_backoff=_validation.seconds("first_backoff", first_backoff),
            max_backoff=_validation.seconds("max_backoff", max_backoff),
            lease_seconds=_validation.seconds("lease_seconds", lease_seconds, least=0.1),
            ledger_patience=_validation.seconds("ledger_patience", ledger_patience),
            max_bandwidth=None if max_bandwidth is None else Timetable.parse(str(max_bandwidth)),
            on_success=OnSuccess.parse(on_success),
        )
        self._open = False
        self._runner: Runner | None = None

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Batch {self._name!r} in {self._ledger!r}>"

    async def aclose(self) -> None:
        """Close the ledger. A run whose loop was left is ended: what is under way is cancelled, and given back."""
        with anyio.CancelScope(shield=True):
            if self._runner is not None:
                await self._runner.aclose()
            await self._ledger.aclose()

    async def add(self, items: Items | Manifest) -> AddResult:
        """Write items into the ledger. Nothing is opened or looked at; items that are there already are left, but that
        one whose upload was not begun, or has failed without a video, takes the new metadata; one that is under way
        takes a URL that was signed anew.

        Args:
            items: a `Manifest`, or `UploadItem` values of a plain or an async iterable; their sources are paths or
                URLs.

        Returns:
            How many are new, known, and invalid. Lines of a manifest that can't be used become rows of the ledger.

        Raises:
            ConfigurationError: an item whose source can't be found again later (bytes, streams, objects), or a
                manifest that can't be read. What was read before it is in the ledger.
            Exception: what the iterable itself raises; likewise.
            LedgerError: the ledger can't be written.
        """
        await self._opened()
        given = cast("object", items)
        if isinstance(given, str | bytes | os.PathLike):
            raise ConfigurationError("items must be an iterable of UploadItem: read a file with Manifest.read(path)")
        lots = lots_of(given, self._settings.root)
        added = known = invalid = 0
        cleared: set[str] = set()
        async with aclosing(lots):
            async for lot in lots:
                if isinstance(given, Manifest):
                    await self._clear_invalid(given, cleared)
                bad = [each for each in lot if each.problem]
                good = {each.identity: each for each in lot if not each.problem}
                new = await self._ledger.add(list(good.values())) if good else 0
                if bad:
                    await self._ledger.add(bad)
                added, known, invalid = added + new, known + len(lot) - len(bad) - new, invalid + len(bad)
        if isinstance(given, Manifest):
            await self._clear_invalid(given, cleared)
        return AddResult(added, known, invalid)

    async def add_arrivals(self, items: Sequence[UploadItem] | Manifest, *, published: bool = False) -> AddResult:
        """Add files of a folder whose files are moved or deleted once their videos are safe (`on_success`). A file that
        is found at the path of an item that has ended is another file: it becomes a new item, whose key is its path
        with a number.

        Args:
            items: a `Manifest`, or items in a list. Those with keys, and URLs, are added as by `add`.
            published: items end when their videos are published, as with ``run(wait_until_published=True)``.

        Returns:
            How many are new, and known.

        Raises:
            ConfigurationError, LedgerError: as for `add`.
        """
        result = await self.add(items)
        if not result.known:
            return result
        over = {ItemState.PUBLISHED, ItemState.DUPLICATE, *([] if published else [ItemState.UPLOADED])}

        def arrived() -> Iterator[tuple[UploadItem, str]]:
            for item in items.again() if isinstance(items, Manifest) else items:
                if item.key is None:
                    yield item, source_text(item.source, self._settings.root)

        # In a thread, as a manifest is read below: it looks at files.
        sources = await asyncio.to_thread(lambda: list({source for _, source in arrived()}))
        states = await self._ledger.states_of(sources)
        before = Counter(source for source, _ in states)
        still = {source for source, state in states if state not in over}

        def new() -> Iterator[UploadItem]:
            for item, source in arrived():
                if source in before and source not in still and (self._settings.root / source).is_file():
                    yield attrs.evolve(item, key=f"{source} #{before[source] + 1}")

        more = await self.add(Manifest.read(new()))
        return AddResult(result.added + more.added, result.known - more.added, result.invalid)

    async def run(
        self, concurrency: int = 32, wait_until_published: bool = False
    ) -> AsyncGenerator[UploadOutcome, None]:
        """Upload what is left, until no item is waiting, backing off or held by anybody, or `stop` was called.

        Other runs, here or elsewhere, share the work; each item's outcome is given by the one that ended it. Leaving
        the loop early cancels what is under way, and gives it back (use `contextlib.aclosing` to have that done at
        once).

        Args:
            concurrency: uploads at the same time in this process (1 to 1000).
            wait_until_published: an item ends when its video is published, or never will be; it keeps no place
                meanwhile. What earlier runs have uploaded is waited for too.

        Returns:
            Outcomes as they complete. A failure is an outcome once its item is given up; an item whose bytes are a
            video already is no failure, and its receipt has that video's file_id.

        Raises:
            ConfigurationError: a wrong argument, there is no client, or a run of this batch is under way.
            AuthorizationError: the credentials were refused: all runners stop, and no item has failed for it.
            QuotaExceededError: the application has no room left; likewise.
            VideoCloudError: the client was closed.
            LedgerError: the ledger could not be reached for a long time.
        """
        _validation.whole("concurrency", concurrency, least=1, most=1000)
        _validation.boolean("wait_until_published", wait_until_published)
        if self._cloud is None:
            raise ConfigurationError("this batch has no client: make it with Batch(cloud, ...)")
        await self._opened()
        if self._runner is not None:
            raise ConfigurationError("this batch is being run already: make another Batch for a second run")
        self._runner = Runner(
            self._cloud, self._ledger, self._settings, concurrency=concurrency, wait=wait_until_published
        )
        try:
            async with aclosing(self._runner.outcomes()) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        finally:
            self._runner = None

    async def drain(self, timeout: float) -> None:
        """Let the run of this object end soon: it takes no more items; uploads that will be done in time are finished,
        the others end where they can go on. Its loop then ends by itself.

        Args:
            timeout: seconds until what is still under way is cut off.
        """
        _validation.seconds("timeout", timeout)
        runner = self._runner
        if runner is None:
            return
        runner.stop(timeout)
        with anyio.move_on_after(timeout):
            await runner.ended.wait()
        if not runner.ended.is_set():
            runner.cut_off()
            await runner.ended.wait()

    @property
    def running(self) -> Sequence[RunningItem]:
        """The uploads under way in this object's run."""
        return () if self._runner is None else self._runner.running

    @property
    def reviewed(self) -> int:
        """How many videos this object's run waits for."""
        return 0 if self._runner is None else self._runner.reviewed

    async def status(self) -> BatchStatus:
        """How many items are in which state.

        Raises:
            LedgerError: the ledger can't be read.
        """
        await self._opened()
        return await self._ledger.status()

    async def retry_failed(self) -> int:
        """Let all failed items wait again, as if they had not failed. One whose video was refused or not published is
        uploaded once more, as a new video.

        Returns:
            How many.

        Raises:
            LedgerError: the ledger can't be written.
        """
        await self._opened()
        return await self._ledger.retry_failed()

    async def stop(self) -> None:
        """Tell all runners of the batch, on all machines, to take no more items. What they are uploading is finished.
        The next run clears this.

        Raises:
            LedgerError: the ledger can't be written.
        """
        await self._opened()
        await self._ledger.stop()

    async def report(self, *, urls: bool = False) -> BatchReport:
        """What became of each item.

        Args:
            urls: with the play URLs of published videos, one request each. They expire after about 15 minutes.

        Returns:
            The report. Play pages of published videos are asked for once, by pages of 100, and kept.

        Raises:
            LedgerError: the ledger can't be read.
        """
        await self._opened()
        items: list[ReportItem] = []
        after = 0
        while page := await self._ledger.records(after, PAGE):
            after = page[-1].number
            pages = await self._pages(page)
            played = await self._urls(page) if urls else {}
            items += [ReportItem.of(each, pages.get(each.number, ""), _flat(played.get(each.number))) for each in page]
        return BatchReport(self._name, await self._ledger.status(), tuple(items))

    async def _clear_invalid(self, manifest: Manifest, cleared: set[str]) -> None:
        """Forget the bad lines of files that are read again: they may have been corrected."""
        for file in set(manifest.files) - cleared:
            cleared.add(file)
            await self._ledger.clear_invalid(file)

    async def _opened(self) -> None:
        if not self._open:
            # Where the current folder is, is asked in a thread.
            self._settings = await asyncio.to_thread(self._settings.located)
            await ask(self._ledger.open, min(OPENING, self._settings.ledger_patience))
            self._open = True

    async def _pages(self, records: Sequence[ItemRecord]) -> dict[int, str]:
        """Play pages that are not in the ledger yet."""
        wanted = [each for each in records if each.state is ItemState.PUBLISHED and not each.page_url]
        if self._cloud is None or not wanted:
            return {}
        found: dict[int, str] = {}
        for start in range(0, len(wanted), VIDEOS):
            lot = {each.file_id: each.number for each in wanted[start : start + VIDEOS]}
            try:
                videos = (await self._cloud.list_videos(list(lot), page_size=VIDEOS)).videos
            except VideoCloudError:
                # A report without some pages is better than none.
                break
            found |= {lot[video.file_id]: video.page_url for video in videos if video.page_url and video.file_id in lot}
        if found:
            await self._ledger.set_pages(list(found.items()))
        return found

    async def _urls(self, records: Sequence[ItemRecord]) -> dict[int, PlayUrls]:
        cloud = self._cloud
        if cloud is None:
            return {}
        found: dict[int, PlayUrls] = {}
        left = iter([each for each in records if each.state is ItemState.PUBLISHED])

        async def some() -> None:
            for each in left:
                try:
                    found[each.number] = await cloud.get_urls(each.file_id)
                except VideoCloudError:
                    # The video may have been deleted meanwhile.
                    continue

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())
        return found


def _flat(urls: PlayUrls | None) -> list[str]:
    return [] if urls is None else [*urls.mp4.values(), *urls.m3u8.values()]

"""Ends of an upload that are rare: doubts that last, journals that fail late, pauses and drains at odd moments."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Bottleneck,
    ChunkReceipt,
    ConfigurationError,
    Endpoints,
    MemoryJournal,
    UploadError,
    UploadOptions,
    UploadState,
)
from iqiyi_async.models import Phase
from iqiyi_async.upload.progress import Progress
from iqiyi_async.upload.range_attempt import RangeAttempt
from iqiyi_async.upload.ranges import Range

from .servers import Asked, Cut, Service, answer, ok
from .test_journal_session import CHUNK as RECORDED
from .test_journal_session import ENTRY, KEY, Broken, Clock, session
from .tools import KEY as APP_KEY
from .tools import NAME, ONCE, QUICK, SECRET, cloud, content, idle_workers, in_time, pieces, until

pytestmark = pytest.mark.anyio

PART = 64 * 1024
SIZE = 8 * PART


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    return path


def refusing(service: Service, *numbers: int) -> None:
    """Ranges that are refused for good, by the number of the call."""

    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A00010"}) if service.count("upload_chunk") in numbers else None

    service.hooks["upload_chunk"] = refuse


# A finish in doubt


@pytest.mark.parametrize("status", ["503 Busy", "404 Not Found"])
async def test_a_look_that_fails_while_a_finish_is_in_doubt(service: Service, status: str) -> None:
    """It is looked at again, and finish is not sent a second time."""

    async def finish(asked: Asked) -> bytes:
        service.usual(asked)
        raise Cut

    async def look(asked: Asked) -> bytes | None:
        number = service.count("get_status")
        if number == 1:
            return answer({"code": "A00003"})
        return answer({}, status=status) if number == 2 else None

    service.hooks |= {"finish_upload": finish, "get_status": look}
    async with cloud(service.url, doubt_patience=5.0) as client:
        assert (await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))).file_id == "file0"
    assert service.count("finish_upload") == 1


async def test_a_finish_in_doubt_that_can_not_be_looked_at(service: Service, path: Path) -> None:
    """No attempt is left, and the status is refused: the next run looks again, and does not send finish."""

    async def finish(asked: Asked) -> bytes:
        service.usual(asked)
        raise Cut

    async def refuse(asked: Asked) -> bytes:
        return answer({}, status="404 Not Found")

    service.hooks |= {"finish_upload": finish, "get_status": refuse}
    async with cloud(service.url, journal=MemoryJournal(), retry=ONCE) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(path, NAME))
        assert caught.value.resumable
        del service.hooks["get_status"]
        assert (await in_time(client.upload(path, NAME))).file_id == "file0"
    assert service.count("finish_upload") == 1


async def test_a_doubt_that_lasts_into_the_next_run(service: Service, path: Path) -> None:
    async def finish(asked: Asked) -> bytes:
        raise Cut

    async def status(asked: Asked) -> bytes:
        return answer({"code": "A00003"})

    service.hooks |= {"finish_upload": finish, "get_status": status}
    async with cloud(service.url, journal=MemoryJournal(), doubt_patience=0.1) as client:
        for _ in range(2):
            with pytest.raises(UploadError, match="has not turned up") as caught:
                await in_time(client.upload(path, NAME))
            assert caught.value.resumable
            assert caught.value.file_id == "file0"
    assert service.count("request_upload") == 1


async def test_a_lease_that_is_over_when_a_worker_is_free(service: Service, path: Path) -> None:
    """Its journal has not answered for as long: another machine may be at it, so not a byte is sent."""

    class Silent(MemoryJournal):
        shared = True

        async def renew(self, key: str, fence: int, ttl: float) -> bool:
            return await asyncio.Event().wait()

    go = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await go.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, journal=Silent(), max_workers=1, lease_seconds=1.0) as client:
        ticket = await client.request_upload("mp4", 10)
        other = asyncio.ensure_future(client.upload_chunk(ticket, 0, content(10)))
        await until(lambda: service.in_flight["upload_chunk"] == 1)
        waiting = client.start_upload(path, NAME)
        await until(lambda: service.count("set_metadata") == 1)
        await asyncio.sleep(1.0)  # the lease
        go.set()
        with pytest.raises(UploadError, match="could not be renewed in time"):
            await in_time(waiting)
        await other
        assert idle_workers(client)
    assert service.count("upload_chunk") == 1


# Earlier uploads


async def test_a_changed_source_whose_upload_can_not_be_cancelled(service: Service, path: Path) -> None:
    refusing(service, 4)

    async def keep(asked: Asked) -> bytes:
        return answer({}, status="500 Broken")

    service.hooks["cancel_upload"] = keep
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        path.write_bytes(content(SIZE)[::-1])
        with pytest.raises(UploadError, match="could not be cancelled: nothing new was begun; try again") as caught:
            await in_time(client.upload(path, NAME))
        assert caught.value.resumable
        assert service.count("request_upload") == 1
        del service.hooks["cancel_upload"]
        assert (await in_time(client.upload(path, NAME))).file_id == "file1"


async def test_the_same_bytes_in_an_upload_that_is_being_cancelled(service: Service, path: Path) -> None:
    """It may be cancelled at any moment: nobody goes on with it under another name."""
    refusing(service, 4)
    journal = MemoryJournal()
    async with cloud(service.url, journal=journal, max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        (key,) = journal._entries
        fence = await journal.acquire(key, "dead", 0.0)
        assert await journal.advance(key, fence or 0, Phase.CANCELLING)
        other = shutil.copy(path, path.with_name("other.mp4"))
        assert (await in_time(client.upload(other, NAME))).file_id == "file1"


async def test_the_same_bytes_that_are_under_way_elsewhere_do_not_block(service: Service, path: Path) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == 3:
            reached.set()
            await go.wait()

    service.hooks["upload_chunk"] = hold
    other = shutil.copy(path, path.with_name("other.mp4"))
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        first = client.start_upload(path, NAME)
        await in_time(reached.wait())
        client_too = cloud(service.url, journal=client._runtime.uploads._journal, max_workers=1)
        async with client_too:
            assert (await in_time(client_too.upload(other, NAME))).file_id == "file1"
        go.set()
        assert (await in_time(first)).file_id == "file0"


async def test_without_its_journal_an_upload_looks_for_no_other(
    service: Service, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(service.url, journal=Broken("acquire"), journal_required=False) as client:
        receipt = await in_time(client.upload(path, NAME))
    assert receipt.file_id == "file0"
    assert "goes on without it" in caplog.text


async def test_a_stream_whose_accepted_ranges_overlap(service: Service) -> None:
    """Another client has cut it otherwise: what overlaps is read once, and the service's bytes are whole."""
    refusing(service, 5)
    journal, data = MemoryJournal(), content(SIZE)
    given = {"file_type": "mp4", "size": SIZE, "key": "film"}
    async with cloud(service.url, journal=journal, max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(pieces(data, 10_000), NAME, **given)
        (key,) = journal._entries
        first = journal._ranges[key][0]
        inside = ChunkReceipt(first.first + 10, first.last - 10, "md5 of no interest")
        journal._ranges[key].insert(1, inside)
        receipt = await in_time(client.upload(pieces(data, 10_000), NAME, **given))
    assert receipt.file_id == "file0"
    assert service.files["file0"] == data


async def test_unfinished_uploads_are_known_to_a_journal_only(service: Service) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError, match="give the client one that has unfinished"):
            async for _ in client.iter_unfinished():
                raise AssertionError


# Losing the lease


async def test_a_stream_whose_lease_is_lost_between_two_ranges(service: Service) -> None:
    journal, go = MemoryJournal(), asyncio.Event()
    data = content(SIZE)

    async def stream() -> Any:
        yield data[: 3 * PART]
        await until(lambda: len(journal._ranges[next(iter(journal._entries))]) >= 2)
        (key,) = journal._entries
        journal._leases.clear()
        assert await journal.acquire(key, "the other", 60) is not None
        yield data[3 * PART : 4 * PART]
        await go.wait()
        yield data[4 * PART :]

    async with cloud(service.url, journal=journal, max_workers=1) as client:
        uploading = client.start_upload(stream(), NAME, file_type="mp4", size=SIZE, key="film")
        with pytest.raises(UploadError, match="taken it over"):
            await in_time(uploading)
        await until(lambda: idle_workers(client))
        assert client._runtime.pool.resources.memory.used == 0
    assert not service.published


async def test_a_lease_that_ends_while_a_phase_is_written() -> None:
    clock, journal = Clock(), Broken(shared=True)
    page = session(journal, clock=clock)

    class Slow(Broken):
        async def advance(self, key: str, fence: int, phase: Phase) -> bool:
            clock.now = 1000.0
            return await super().advance(key, fence, phase)

    page = session(Slow(shared=True), clock=clock)
    async with page.lease():
        await page.begin(ENTRY)
        with pytest.raises(UploadError, match="could not be renewed in time"):
            await page.announce(Phase.FINISHING)


async def test_a_lease_that_is_lost_twice_is_told_once() -> None:
    """A write and the renewal find out at the same time."""
    lost: list[UploadError] = []
    journal = MemoryJournal()
    page = session(journal, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "thief", 60)
        outcomes = await asyncio.gather(
            *(page.record(attrs.evolve(RECORDED, md5=str(number))) for number in range(3)), return_exceptions=True
        )
        assert all(isinstance(each, UploadError) for each in outcomes)
    assert len(lost) == 1


class SlowToRenew(MemoryJournal):
    """A journal whose answer to a renewal takes as long as the test wants, and is a failure where that is wanted."""

    def __init__(self, *, shared: bool = False, failure: OSError | None = None) -> None:
        super().__init__()
        self.shared = shared
        self.failure = failure
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        kept = await super().renew(key, fence, ttl)
        self.asked.set()
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return kept


async def test_a_renewal_whose_lease_was_claimed_again_meanwhile() -> None:
    """The journal was removed and written again while the answer was on its way."""
    journal = SlowToRenew()
    page = session(journal, lease_seconds=0.3)
    async with page.lease():
        await page.begin(ENTRY)
        await in_time(journal.asked.wait())
        old = page.fence
        await journal.forget(KEY, old)
        await journal.release(KEY, old)
        await page.record(RECORDED)
        assert page.fence != old
        journal.go.set()
        journal.asked.clear()
        await in_time(journal.asked.wait())
        page.check()
    assert not page.lost


async def test_a_renewal_that_fails_when_the_lease_is_lost_already() -> None:
    clock, lost = Clock(), list[UploadError]()
    journal = SlowToRenew(shared=True, failure=OSError("no way"))
    page = session(journal, lease_seconds=0.3, clock=clock, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await in_time(journal.asked.wait())
        clock.now = 1000.0
        with pytest.raises(UploadError, match="could not be renewed in time"):
            page.check()
        journal.go.set()
        await asyncio.sleep(0.01)
    assert len(lost) == 1


async def test_a_lease_that_ends_while_a_stream_is_silent(service: Service) -> None:
    """What the stream gives afterwards is not sent, and its memory is there again."""
    data = content(SIZE)

    async def stream() -> Any:
        yield data[:PART]
        await asyncio.sleep(0.4)
        yield data[PART:]

    journal = SlowToRenew(shared=True)
    async with cloud(service.url, journal=journal, lease_seconds=0.3, max_workers=1) as client:
        with pytest.raises(UploadError, match="could not be renewed in time") as caught:
            await in_time(client.upload(stream(), NAME, file_type="mp4", size=SIZE, key="film"))
        assert caught.value.resumable
        assert client._runtime.pool.resources.memory.used == 0
    assert service.count("upload_chunk") <= 1


# Pauses, drains, failures of the cleaning up


async def test_a_pause_while_the_upload_is_requested(service: Service) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await go.wait()

    service.hooks["request_upload"] = hold
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(reached.wait())
        handle.pause()
        go.set()
        await until(lambda: handle.state is UploadState.PAUSED)
        assert service.count("upload_chunk") == 0
        handle.resume()
        await in_time(handle)


async def test_a_pause_while_ranges_wait_for_a_worker(service: Service) -> None:
    """Another upload has the workers: the range of the paused one gives its worker back."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == 1:
            reached.set()
            await go.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=1) as client:
        first = client.start_upload(content(PART), NAME, file_type="mp4")
        await in_time(reached.wait())
        second = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await until(lambda: len(client._runtime.pool._waiting) == 1)
        second.pause()
        go.set()
        await in_time(first)
        await until(lambda: second.state is UploadState.PAUSED)
        assert idle_workers(client)
        second.resume()
        await in_time(second)


async def test_draining_while_the_upload_is_requested(service: Service, path: Path) -> None:
    """It has a name then, and no byte is sent: the next run goes on with it."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await go.wait()

    service.hooks["request_upload"] = hold
    journal = MemoryJournal()
    async with cloud(service.url, journal=journal) as client:
        handle = client.start_upload(path, NAME)
        await in_time(reached.wait())
        draining = asyncio.create_task(client.drain(5))
        await asyncio.sleep(0.01)
        go.set()
        await in_time(draining)
        with pytest.raises(UploadError) as caught:
            await handle
        assert caught.value.resumable
    assert service.count("upload_chunk") == 0
    async with cloud(service.url, journal=journal) as client:
        assert (await in_time(client.upload(path, NAME))).file_id == "file0"


async def test_an_upload_that_is_cancelled_while_it_is_finished_and_was_cancelled_already(service: Service) -> None:
    """The status says so: nothing is left to be done, and the journal forgets it."""
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    async def status(asked: Asked) -> bytes:
        return answer({"code": "A00006"})

    service.hooks |= {"finish_upload": hold, "get_status": status}
    async with cloud(service.url, journal=MemoryJournal()) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(reached.wait())
        await in_time(handle.cancel(at_service=True))
        assert handle.state is UploadState.CANCELLED
        assert [each async for each in client.iter_unfinished()] == []
        never.set()
    assert service.count("cancel_upload") == 0


async def test_the_journal_knows_where_an_upload_went(service: Service, path: Path) -> None:
    """Its address dies, the documented host takes over; an interruption later, it goes on there at once."""

    async def ticket(asked: Asked) -> bytes:
        service.usual(asked)
        return ok(data={"upload_url": "http://127.0.0.1:9/upload", "file_id": f"file{len(service.files) - 1}"})

    service.hooks["request_upload"] = ticket
    refusing(service, 5)
    endpoints = attrs.evolve(Endpoints.single(service.url), fallbacks=(service.url,))
    options = UploadOptions(chunk_size=PART, max_workers=1)
    journal = MemoryJournal()
    async with AsyncVideoCloud(
        APP_KEY, SECRET, endpoints=endpoints, options=options, retry=QUICK, journal=journal
    ) as client:
        with pytest.raises(UploadError):
            await in_time(client.upload(path, NAME), 20)
        (entry,) = journal._entries.values()
        assert entry.upload_url.startswith(service.url)
        receipt = await in_time(client.upload(path, NAME), 20)
    assert service.files[receipt.file_id] == content(SIZE)


class Stop(BaseException):
    """What nobody may swallow."""


@pytest.mark.parametrize("most", [1, 100])
async def test_a_listener_s_base_exception_leaves_even_after_finish(service: Service, most: int) -> None:
    raised = 0

    def listen(progress: object) -> None:
        nonlocal raised
        if service.count("finish_upload") and raised < most:
            raised += 1
            raise Stop

    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.3)

    service.hooks["finish_upload"] = slow
    async with cloud(service.url) as client:
        with pytest.raises(Stop):
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=listen))
    assert service.published == ["file0"]


@pytest.mark.parametrize("kind", [Stop, asyncio.CancelledError])
@pytest.mark.parametrize("call", [1, 2])
async def test_a_listener_s_base_exception_leaves_and_nothing_is_published(
    service: Service, kind: type[BaseException], call: int
) -> None:
    """A CancelledError too: in the task of a range it would be taken for the range's end."""
    called = 0

    def listen(progress: object) -> None:
        nonlocal called
        called += 1
        if called == call:
            raise kind

    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.15)

    service.hooks["upload_chunk"] = slow
    async with cloud(service.url) as client:
        with pytest.raises(kind):
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=listen))
    assert not service.published


async def test_a_late_range_whose_second_sending_arrives_while_the_first_backs_off(service: Service) -> None:
    """The first is not sent a third time."""
    count = 24
    data = content(count * PART)
    last, second, sent = f"{(count - 1) * PART}-{count * PART - 1}", asyncio.Event(), 0

    async def chunk(asked: Asked) -> bytes | None:
        nonlocal sent
        if asked.headers["range"] != last:
            return None
        sent += 1
        if sent == 1:
            await second.wait()
            return answer({}, status="503 Busy", headers="Retry-After: 1\r\n")
        second.set()
        await asyncio.sleep(0.1)
        return None

    service.hooks["upload_chunk"] = chunk
    async with cloud(service.url, max_workers=2) as client:
        receipt = await in_time(client.upload(data, NAME, file_type="mp4"), 10)
    assert sent == 2
    assert receipt.retries == 2
    assert service.files[receipt.file_id] == data


# Words of the engine


def test_bytes_of_a_second_sending_count_only_until_the_range_has_arrived() -> None:
    told: list[int] = []
    progress = Progress(lambda: 0.0, lambda snapshot: told.append(snapshot.sent))
    part = Range(0, 100)
    progress.planned(part)
    on_sent = progress.sending(part)
    on_sent(60)
    progress.restart()
    on_sent(40)
    assert progress.snapshot().sent == 0
    assert progress.time_by_cause() == {Bottleneck.SOURCE: 1.0}


async def test_a_second_sending_that_arrives_while_the_first_is_not_being_sent() -> None:
    attempt = RangeAttempt(Range(0, 100), None, Bottleneck.WORKERS)
    attempt.completed_by_hedge("md5")
    assert attempt.hedged_md5 == "md5"


async def test_a_reading_object_made_in_c(service: Service) -> None:
    """Its signature can't be looked at: whether it reads is found out at the first piece."""

    class Read:
        read = staticmethod(max)

    async with cloud(service.url) as client:
        with pytest.raises((ConfigurationError, UploadError)):
            await in_time(client.upload(Read(), NAME, file_type="mp4", size=10))  # type: ignore[arg-type]
    assert service.count("request_upload") == 0

"""Every fault at every place of an upload ends in success or in one typed error, soon, with one video at most."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    MemoryJournal,
    MemoryTokenStore,
    Metadata,
    RetryPolicy,
    UploadError,
    UploadOptions,
    UploadProgress,
    VideoCloudError,
)
from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    Conditions,
    EmulatorConfig,
    EmulatorServer,
    Fault,
    FaultPlan,
    FaultProxy,
    Flow,
    ThreadedEmulatorServer,
)

from .matrix import CHUNK, DATA, FAULTS, PLACES, carry_out, cells, plan

WORDS = {
    "s": "success",
    "T": "TransportError",
    "V": "ServiceUnavailableError",
    "S": "ServiceError",
    "P": "InvalidParameterError",
    "R": "ResponseError",
    "A": "AuthorizationError",
    "U": "UploadError",
    "I": "IntegrityError",
}
#: What each cell comes to, once and always; the columns are the places: authorize, request, first, middle and last
#: chunk, metadata, finish. docs/faults.md tells why.
TABLE = {
    "closed before": ("s s sss s s", "T T UUU U U"),
    "closed in the body": ("- - sss - -", "- - UUU - -"),
    "answer lost": ("s s sss s s", "T T UUU U s"),
    "answer cut": ("s s sss s s", "T T UUU U s"),
    "silence": ("s s sss s s", "T T UUU U U"),
    "silence in the body": ("- - sss - -", "- - UUU - -"),
    "500": ("s s sss s s", "V V UUU U U"),
    "503": ("s s sss s s", "V V UUU U U"),
    "429, wait a year": ("s s sss s s", "V V UUU U U"),
    "404": ("S S UUU U U", "S S UUU U U"),
    "redirect": ("R R UUU U U", "R R UUU U U"),
    "unknown code": ("S S UUU U U", "S S UUU U U"),
    "A00010": ("S P UUU U U", "S P UUU U U"),
    "Q00001": ("S S UUU U U", "S S UUU U U"),
    "no JSON": ("s s sss s s", "R R UUU U U"),
    "no fields": ("R R UUU - -", "R R UUU - -"),
    "endless answer": ("R R UUU U U", "R R UUU U U"),
    "wrong MD5": ("- - sss - -", "- - III - -"),
    "fewer bytes": ("- - sss - -", "- - III - -"),
    "file_id dropped": ("- - sss U U", "- - UUU U U"),
    "token expired": ("- s --- s s", "- A --- U U"),
    "token revoked": ("- s --- s s", "- A --- U U"),
    "HTTP 401": ("A s --- s s", "A A --- U U"),
    "A21324": ("A A --- U U", "A A --- U U"),
    "A21331": ("s s --- s s", "V V --- U U"),
}


def expected(fault: str, place: str, *, always: bool) -> str:
    return WORDS[TABLE[fault][always].replace(" ", "")[list(PLACES).index(place)]]


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as running:
        yield running


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(DATA)
    return path


def test_the_table_has_every_cell_and_no_other() -> None:
    filled = {
        (fault, place, always)
        for fault, rows in TABLE.items()
        for always, row in enumerate(rows)
        for place, word in zip(PLACES, row.replace(" ", ""), strict=True)
        if word != "-"
    }
    assert filled == set(cells())
    assert set(TABLE) == set(FAULTS)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_cell(server: ThreadedEmulatorServer, film: Path, fault: str, place: str) -> None:
    for always in (False, True):
        if (fault, place, always) not in cells():
            continue
        server.reset()
        began = time.monotonic()
        end = asyncio.run(carry_out(server, film, plan(fault, place, always=always)))
        assert end.word == expected(fault, place, always=always), f"{'always' if always else 'once'}: {end}"
        assert time.monotonic() - began < 10
        if isinstance(end.error, UploadError):
            assert end.error.file_id
            assert end.error.accepted <= len(DATA)
            assert isinstance(end.error.__cause__, VideoCloudError) or end.word == "IntegrityError"


#: What the network does to all connections, or to the n-th: 1 carries the calls, 2 the ranges; and what it comes to.
LINKS: dict[str, tuple[int | None, Conditions, str]] = {
    "reset in the first range": (2, Conditions(up=Flow(reset_after=700)), "success"),
    "reset in the last range": (2, Conditions(up=Flow(reset_after=5200)), "success"),
    "reset after every 3000 bytes": (None, Conditions(up=Flow(reset_after=3000)), "success"),
    "reset before any range is over": (None, Conditions(up=Flow(reset_after=900)), "UploadError"),
    "the service's side is shut before it answers": (2, Conditions(down=Flow(close_after=0)), "success"),
    "the service's side is shut, always": (None, Conditions(down=Flow(close_after=0)), "TransportError"),
    "a black hole for the ranges": (2, Conditions(black_hole=True), "success"),
    "a black hole": (None, Conditions(black_hole=True), "TransportError"),
    "answers drip": (None, Conditions(down=Flow(drip=100, drip_pause=0.001)), "success"),
    "answers drip for ever": (None, Conditions(down=Flow(drip=1, drip_pause=0.08)), "TransportError"),
    "slow and late": (None, Conditions(up=Flow(latency=0.02, bandwidth=500_000)), "success"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", LINKS)
async def test_link(film: Path, name: str) -> None:
    connection, conditions, word = LINKS[name]
    async with EmulatorServer(EmulatorConfig(publish_after=0)) as server:
        port = int(server.endpoint_url.rsplit(":", 1)[1])
        async with FaultProxy("127.0.0.1", port) as proxy:
            proxy.apply(conditions, connection=connection)
            assert await outcome(client(proxy.endpoint_url), film) == word
        assert len(server.emulator.published()) == (word == "success")
        assert all(server.emulator.content(view.file_id) == DATA for view in server.emulator.published())


@pytest.mark.anyio
async def test_refused(film: Path) -> None:
    async with FaultProxy("127.0.0.1", 9) as proxy:
        await proxy.refuse()
        assert await outcome(client(proxy.endpoint_url), film) == "TransportError"


@pytest.mark.anyio
async def test_a_stream_that_fails_at_its_end_is_not_taken_for_cancelled() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield DATA

    faults = FaultPlan([Fault(operation="upload_chunk", call=5, status=404)])
    async with EmulatorServer(EmulatorConfig(faults=faults)) as server, client(server.endpoint_url) as cloud:
        with pytest.raises(UploadError):
            await cloud.upload(stream(), Metadata("A stream"), file_type="mp4", size=len(DATA))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def client(url: str, *, journal_required: bool = True, **more: Any) -> AsyncVideoCloud:
    return AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(url),
        options=UploadOptions(
            max_workers=1,
            chunk_size=CHUNK,
            connect_timeout=0.3,
            stall_timeout=0.1,
            journal_required=journal_required,
            doubt_patience=0.05,
        ),
        retry=RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.002),
        **more,
    )


async def outcome(
    cloud: AsyncVideoCloud, film: Path, on_progress: Callable[[UploadProgress], object] | None = None
) -> str:
    async with cloud:
        try:
            async with asyncio.timeout(10):
                await cloud.upload(film, Metadata("Faulty"), on_progress=on_progress)
        except VideoCloudError as error:
            return type(error).__name__
    return "success"


def broken(kind: type[Any], operation: str) -> Any:
    """A store or journal of which one operation fails, as on a full disk."""

    async def fail(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    def fail_at_once(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    return type("Broken", (kind,), {operation: fail_at_once if operation == "lease" else fail})()


@pytest.mark.parametrize("operation", ["record", "release"])
def test_a_journal_that_fails_under_way_does_not_fail_the_upload(
    server: ThreadedEmulatorServer, film: Path, operation: str
) -> None:
    server.reset()
    cloud = client(server.endpoint_url, journal=broken(MemoryJournal, operation))
    assert asyncio.run(outcome(cloud, film)) == "success"
    assert len(server.published()) == 1


@pytest.mark.parametrize("operation", ["acquire", "load", "find", "begin"])
def test_a_journal_that_can_not_be_asked_fails_the_upload_before_a_byte_is_sent(
    server: ThreadedEmulatorServer, film: Path, operation: str
) -> None:
    server.reset()
    cloud = client(server.endpoint_url, journal=broken(MemoryJournal, operation))
    assert asyncio.run(outcome(cloud, film)) == "UploadError"
    assert not server.published()
    assert "upload_chunk" not in [one.operation for one in server.history]


@pytest.mark.parametrize("operation", ["acquire", "load", "find", "begin"])
def test_a_journal_that_is_not_required_may_fail(server: ThreadedEmulatorServer, film: Path, operation: str) -> None:
    server.reset()
    cloud = client(server.endpoint_url, journal=broken(MemoryJournal, operation), journal_required=False)
    assert asyncio.run(outcome(cloud, film)) == "success"
    assert len(server.published()) == 1


def test_a_finish_that_can_not_be_announced_is_not_said(server: ThreadedEmulatorServer, film: Path) -> None:
    server.reset()
    cloud = client(server.endpoint_url, journal=broken(MemoryJournal, "advance"))
    assert asyncio.run(outcome(cloud, film)) == "UploadError"
    assert not server.published()
    assert "finish_upload" not in [one.operation for one in server.history]


@pytest.mark.parametrize("operation", ["load", "compare_and_set", "lease"])
def test_a_token_store_that_fails_does_not_fail_the_upload(
    server: ThreadedEmulatorServer, film: Path, operation: str
) -> None:
    server.reset()
    cloud = client(server.endpoint_url, token_store=broken(MemoryTokenStore, operation))
    assert asyncio.run(outcome(cloud, film)) == "success"
    assert len(server.published()) == 1


SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda path: os.truncate(path, 2000), "SourceChangedError"),
    "appended to": (lambda path: path.write_bytes(DATA + b"more"), "SourceChangedError"),
    "touched": (lambda path: os.utime(path, ns=(1, 1)), "success"),
    "removed": (lambda path: path.unlink(), "success"),
    "replaced by another file": (lambda path: path.rename(path.with_name("old")), "success"),
}


@pytest.mark.parametrize("change", SOURCES)
def test_a_source_that_changes_meanwhile(server: ThreadedEmulatorServer, film: Path, change: str) -> None:
    """What was opened is what is sent: a file that is only no longer there under its name is sent as it was."""
    server.reset()
    # Long enough for the progress of the ranges before it to be told.
    server.faults = FaultPlan([Fault(operation="upload_chunk", call=3, delay=0.3)])
    act, word = SOURCES[change]
    changed: list[int] = []

    def on_progress(progress: UploadProgress) -> None:
        if not changed and progress.accepted:
            changed.append(progress.accepted)
            act(film)

    assert asyncio.run(outcome(client(server.endpoint_url), film, on_progress)) == word
    assert changed, "it was changed on the way"
    assert len(server.published()) == (word == "success")
    assert all(server.content(view.file_id) == DATA for view in server.published())

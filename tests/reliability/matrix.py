"""The fault matrix: every fault, at every place of an upload, once and always; and what each cell comes to.

What belongs here: the faults, the places, and one cell carried out. What each cell has to come to is in the test; the
same table, in words, is in docs/faults.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    MemoryJournal,
    Metadata,
    RetryPolicy,
    UploadOptions,
    UploadReceipt,
    VideoCloudError,
)
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, FaultPlan, ThreadedEmulatorServer

CHUNK = 1000
DATA = bytes(range(251)) * 17
#: Where a fault strikes: an operation and its number; of five ranges the first, one in the middle, and the last.
PLACES: dict[str, tuple[str, int]] = {
    "authorize": ("authorize", 1),
    "request": ("request_upload", 1),
    "first chunk": ("upload_chunk", 1),
    "middle chunk": ("upload_chunk", 3),
    "last chunk": ("upload_chunk", 5),
    "metadata": ("set_metadata", 1),
    "finish": ("finish_upload", 1),
}
CHUNKS = ("first chunk", "middle chunk", "last chunk")
#: Longer than the client's patience, in seconds.
LONG = 2.0

TRANSPORT: dict[str, dict[str, Any]] = {
    "closed before": {"drop": True},
    "closed in the body": {"drop": True, "after_bytes": 300},
    "answer lost": {"lost_answer": True},
    "answer cut": {"truncate": 5},
    "silence": {"delay": LONG},
    "silence in the body": {"stall": LONG, "after_bytes": 300},
}
PROTOCOL: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429, wait a year": {"status": 429, "headers": {"Retry-After": "31536000"}},
    "404": {"status": 404},
    "redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
    "unknown code": {"code": "Z99999"},
    "A00010": {"code": "A00010"},
    "Q00001": {"code": "Q00001"},
    "no JSON": {"body": "<html>maintenance</html>"},
    "no fields": {"body": '{"code": "A00000"}'},
    "endless answer": {"oversize": 5_000_000},
    "wrong MD5": {"wrong_md5": True},
    "fewer bytes": {"short_accept": 1},
    "file_id dropped": {"drop_file": True},
}
AUTH: dict[str, dict[str, Any]] = {
    "token expired": {"token": "expired"},
    "token revoked": {"token": "revoked"},
    "HTTP 401": {"status": 401},
    "A21324": {"code": "A21324"},
    "A21331": {"code": "A21331"},
}
FAULTS = TRANSPORT | PROTOCOL | AUTH
#: Faults that have a meaning only where there is a body, or a token, or a file_id.
ONLY: dict[str, tuple[str, ...]] = {
    "closed in the body": CHUNKS,
    "silence in the body": CHUNKS,
    # To what answers with a code alone, this is success.
    "no fields": ("authorize", "request", *CHUNKS),
    "wrong MD5": CHUNKS,
    "fewer bytes": CHUNKS,
    "file_id dropped": (*CHUNKS, "metadata", "finish"),
    "token expired": ("request", "metadata", "finish"),
    "token revoked": ("request", "metadata", "finish"),
    "A21324": ("authorize", "request", "metadata", "finish"),
    "A21331": ("authorize", "request", "metadata", "finish"),
    "HTTP 401": ("authorize", "request", "metadata", "finish"),
}


def cells() -> list[tuple[str, str, bool]]:
    """All that mean something: fault, place, and whether it strikes always."""
    return [
        (fault, place, always)
        for fault in FAULTS
        for place in ONLY.get(fault, tuple(PLACES))
        for always in (False, True)
    ]


@attrs.frozen
class End:
    """What a cell came to: its word, the error if there was one, and whether an upload afterwards is the same one."""

    word: str
    error: VideoCloudError | None = None


def plan(fault: str, place: str, *, always: bool) -> FaultPlan:
    """The fault at its place; a fault that strikes always does so from that place on."""
    operation, number = PLACES[place]
    calls = list(range(number, number + 60)) if always else [number]
    return FaultPlan([Fault(operation=operation, call=calls, **FAULTS[fault])])


async def carry_out(server: ThreadedEmulatorServer, path: Path, faults: FaultPlan) -> End:
    """Upload under faults, look at everything, and upload again without them."""
    journal = MemoryJournal()
    server.faults = faults
    end = await upload(server, path, journal)
    check(server)
    if end.error is None:
        assert len(server.published()) == 1
    server.faults = FaultPlan()
    again = await upload(server, path, journal)
    assert again.error is None, f"without faults: {again.error!r}"
    check(server)
    assert len(server.published()) == 1, "a second video was published"
    return end


async def upload(server: ThreadedEmulatorServer, path: Path, journal: MemoryJournal) -> End:
    """One upload by a client of its own, and its end."""
    async with AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(server.endpoint_url),
        options=UploadOptions(
            max_workers=1, chunk_size=CHUNK, connect_timeout=0.5, stall_timeout=0.1, doubt_patience=0.05
        ),
        retry=RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.002, retry_after_cap=0.01),
        journal=journal,
    ) as cloud:
        try:
            async with asyncio.timeout(8):
                receipt = await cloud.upload(path, Metadata("Faulty"))
        except VideoCloudError as error:
            return End(type(error).__name__, error)
    assert isinstance(receipt, UploadReceipt)
    assert server.content(receipt.file_id) == DATA
    return End("success")


def check(server: ThreadedEmulatorServer) -> None:
    """Nothing wrong is published, and nothing twice."""
    published = server.published()
    assert len(published) <= 1, "two videos were published"
    for view in published:
        assert server.content(view.file_id) == DATA, "other bytes were published"

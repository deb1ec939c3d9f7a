"""`demo`: the whole journey of a video on this machine, and proof that nothing of it was lost.

An emulator of the service starts on loopback, the video is uploaded to it and published, and what is fetched through
a play URL is compared with the file, byte for byte.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from importlib.resources import as_file, files
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from iqiyi_async import AsyncVideoCloud, Endpoints, PlayUrls, UploadOptions, UploadReceipt

from . import words
from .display import display_for
from .failures import FAILED, CommandError
from .jobs import Job, jobs_for
from .screen import Screen

MIB = 1024 * 1024
#: Small enough for a small video to be cut into many chunks, so that there is something to see.
CHUNK_LEAST, CHUNK_MOST, CHUNKS = 16 * 1024, 4 * MIB, 20
#: Seconds from the end of the upload to publication, and for the answer to a chunk of a small video.
PUBLISH_AFTER, DELAY = 1.0, 0.15
FETCH_SECONDS = PATIENCE = 60.0


@contextmanager
def video_of(path: Path | None) -> Generator[Path, None, None]:
    """The user's video, or the one that comes with the package."""
    if path is not None:
        yield path
        return
    with as_file(files(__package__ or "") / "demo.mp4") as packaged:
        yield packaged


async def run(screen: Screen, path: Path) -> int:
    """Show it.

    Returns:
        0 if what came back is identical.
    """
    from iqiyi_async.emulator import EmulatorConfig, EmulatorServer, Fault, FaultPlan

    (job,) = jobs_for([path], None, description="Uploaded by the demonstration of iqiyi-async.")
    chunk_size = min(CHUNK_MOST, max(CHUNK_LEAST, job.size // CHUNKS))
    # On loopback a small video is there in a blink. A distant service takes its time for every chunk, as here.
    distant = FaultPlan([Fault(operation="upload_chunk", delay=DELAY)] if chunk_size < CHUNK_MOST else [])
    config = EmulatorConfig(publish_after=PUBLISH_AFTER, faults=distant)
    async with EmulatorServer(config) as server:
        screen.result(f"emulator of the service: {server.endpoint_url} (nothing leaves this machine)")
        screen.result(f"video: {path} ({words.size(job.size)})")
        if distant.faults:
            screen.result(f"the emulator answers each chunk after {DELAY:g} s, as a distant service would")
        async with AsyncVideoCloud(
            config.app_key,
            config.app_secret,
            endpoints=Endpoints.single(server.endpoint_url),
            options=UploadOptions(chunk_size=chunk_size),
        ) as cloud:
            receipt = await _publish(cloud, screen, job)
            urls = await cloud.get_urls(receipt.file_id)
            _print_urls(screen, urls)
            real = await cloud.resolve_url(next(iter(urls.mp4.values())))
            screen.result(f"second exchange: {real}")
            difference = await asyncio.to_thread(compare, real, path)
    if difference is not None:
        screen.result(f"NOT IDENTICAL: what came back differs from the file {difference}")
        return FAILED
    screen.result(f"identical: all {job.size:,} bytes came back as they were sent")
    return 0


async def _publish(cloud: AsyncVideoCloud, screen: Screen, job: Job) -> UploadReceipt:
    label = job.path.name
    with display_for(screen, files=1, size=job.size) as display:
        display.begin(label, job.size)
        receipt = await cloud.upload(job.path, job.metadata, on_progress=partial(display.update, label))
        chunks = words.count(receipt.chunks, "chunk")
        screen.result(f"uploaded as {receipt.file_id} in {words.span(receipt.elapsed)}, {chunks}, every MD5 checked")
        display.waiting(label)
        began = time.monotonic()
        await cloud.wait_until_published(receipt.file_id, timeout=PATIENCE)
        screen.result(f"published after {words.span(time.monotonic() - began)}")
        display.end(label)
    return receipt


def _print_urls(screen: Screen, urls: PlayUrls) -> None:
    screen.result("play URLs:")
    for kind, found in (("mp4", urls.mp4), ("m3u8", urls.m3u8)):
        for quality, url in found.items():
            screen.result(f"  {kind:<5} {quality:<3} {url}")


def compare(url: str, path: Path) -> str | None:
    """Fetch a URL as any player would, and compare it with a file, however large. Runs in a thread.

    Returns:
        Where they differ, or None.

    Raises:
        CommandError: nothing came.
    """
    opener = build_opener(ProxyHandler({}))
    place = 0
    try:
        with opener.open(url, timeout=FETCH_SECONDS) as answer, path.open("rb") as file:
            for piece in iter(partial(answer.read, MIB), b""):
                expected = file.read(len(piece))
                if piece != expected:
                    return f"from byte {place + _first_difference(piece, expected):,} on"
                place += len(piece)
            return None if not file.read(1) else f"from byte {place:,} on, where it ends"
    except (OSError, HTTPException) as error:
        raise CommandError(f"the video could not be fetched: {error}", "run the demo again with -v") from None


def _first_difference(one: bytes, other: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

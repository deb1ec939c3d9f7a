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
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from iqiyi_async import AsyncVideoCloud, Endpoints, PlayUrls, UploadOptions, UploadReceipt

from . import words
from .display import display_for
from .failures import FAILED, CommandError
from .jobs import Job, jobs_for
from .screen import Screen
from .signals import Signals
from .texts import count, tr

if TYPE_CHECKING:
    from iqiyi_async.emulator import EmulatorConfig

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


async def run(screen: Screen, path: Path, signals: Signals | None = None) -> int:
    """Show it.

    Args:
        screen: where everything is said.
        path: the video.
        signals: the first of these ends the emulator; without, it ends with the demonstration.

    Returns:
        0 if what came back is identical.
    """
    from iqiyi_async.emulator import EmulatorConfig, EmulatorServer, Fault, FaultPlan

    jobs, bad, _ = jobs_for([path], None, description="Uploaded by the demonstration of iqiyi-async.")
    if bad:
        raise bad[0].error
    (job,) = jobs
    chunk_size = min(CHUNK_MOST, max(CHUNK_LEAST, job.size // CHUNKS))
    # On loopback a small video is there in a blink. A distant service takes its time for every chunk, as here.
    distant = FaultPlan([Fault(operation="upload_chunk", delay=DELAY)] if chunk_size < CHUNK_MOST else [])
    config = EmulatorConfig(publish_after=PUBLISH_AFTER, faults=distant)
    async with EmulatorServer(config) as server:
        screen.result(tr("emulator of the service: {url} (nothing leaves this machine)", url=server.endpoint_url))
        screen.result(tr("video: {path} ({size})", path=path, size=words.size(job.size)))
        if distant.faults:
            screen.result(
                tr(
                    "the emulator answers each chunk after {seconds} s, as a distant service would",
                    seconds=f"{DELAY:g}",
                )
            )
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
            screen.result(tr("second exchange: {url}", url=real))
            difference = await asyncio.to_thread(compare, real, path)
        if difference is not None:
            screen.result(tr("NOT IDENTICAL: what came back differs from the file {where}", where=difference))
            return FAILED
        screen.result(tr("identical: all {size} bytes came back as they were sent", size=f"{job.size:,}"))
        if signals is not None:
            await _keep(screen, server.endpoint_url, config, signals)
    return 0


async def _keep(screen: Screen, url: str, config: EmulatorConfig, signals: Signals) -> None:
    """Let the emulator run until the first signal, which is no failure."""
    signals.on_first = signals.asked.set
    screen.result(tr("the emulator goes on until Ctrl-C; its page is {url}/", url=url))
    screen.result(tr("for a program of your own:"))
    screen.result(
        f"  export IQIYI_ENDPOINT_URL={url} IQIYI_APP_KEY={config.app_key} IQIYI_APP_SECRET={config.app_secret}"
    )
    await signals.asked.wait()


async def _publish(cloud: AsyncVideoCloud, screen: Screen, job: Job) -> UploadReceipt:
    label = job.path.name
    with display_for(screen, files=1, size=job.size) as display:
        display.begin(label, job.size)
        receipt = await cloud.upload(job.path, job.metadata, on_progress=partial(display.update, label))
        screen.result(
            tr(
                "uploaded as {file_id} in {time}, {chunks}, every MD5 checked",
                file_id=receipt.file_id,
                time=words.span(receipt.elapsed),
                chunks=count(receipt.chunks, "chunk"),
            )
        )
        display.waiting(label)
        began = time.monotonic()
        await cloud.wait_until_published(receipt.file_id, timeout=PATIENCE)
        screen.result(tr("published after {time}", time=words.span(time.monotonic() - began)))
        display.end(label)
    return receipt


def _print_urls(screen: Screen, urls: PlayUrls) -> None:
    screen.result(tr("play URLs:"))
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
                    return tr("from byte {place} on", place=f"{place + _first_difference(piece, expected):,}")
                place += len(piece)
            return None if not file.read(1) else tr("from byte {place} on, where it ends", place=f"{place:,}")
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise CommandError(
            tr("the video could not be fetched: {error}", error=error), tr("run the demo again with -v")
        ) from None


def _first_difference(one: bytes, other: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

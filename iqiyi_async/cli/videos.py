"""`status`, `list`, `urls`, `delete`: one question each, a table or JSON as the answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any, cast

import attrs

from iqiyi_async import (
    AsyncVideoCloud,
    PlayUrls,
    Quality,
    UnknownFileError,
    Video,
    VideoPage,
    VideoState,
    VideoStatus,
)

from . import words
from .failures import UsageError
from .screen import Screen
from .texts import count, joined, later, tr

_QUALITIES: Mapping[str, str] = {
    Quality.TOPSPEED: later("topspeed"),
    Quality.SMOOTH: later("smooth"),
    Quality.HIGH: later("high"),
    Quality.SUPER: later("super"),
    Quality.P720: "720P",
    Quality.P1080: "1080P",
}


_STATES: Mapping[VideoState, str] = {
    VideoState.UPLOADING: later("uploading"),
    VideoState.PUBLISHING: later("publishing"),
    VideoState.PUBLISHED: later("published"),
    VideoState.REVIEW_FAILED: later("review failed"),
    VideoState.PUBLISH_FAILED: later("publish failed"),
    VideoState.CANCELLED: later("cancelled"),
    VideoState.ABSENT: later("absent"),
    VideoState.UNKNOWN: later("unknown"),
}


def plain(value: object) -> Any:
    """A value as JSON can say it: times in ISO 8601 (UTC), enums by their values."""
    kind = type(value)
    if attrs.has(kind):
        return {field.name: plain(getattr(value, field.name)) for field in attrs.fields(kind)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


async def show_status(cloud: AsyncVideoCloud, screen: Screen, file_id: str) -> int:
    """`status`: where a video stands. One that does not exist is an error."""
    status = await cloud.get_status(file_id)
    if screen.machine:
        screen.record(plain(status))
    elif status.state is not VideoState.ABSENT:
        screen.table((tr("video id"), file_id), _status_rows(status))
    if status.state is VideoState.ABSENT:
        raise UnknownFileError(
            tr("there is no video {file_id}", file_id=file_id),
            code=status.code,
            operation="get_status",
            file_id=file_id,
        )
    return 0


def _state(state: VideoState) -> str:
    """A state in words."""
    return tr(_STATES[state])


def _status_rows(status: VideoStatus) -> list[tuple[str, str]]:
    rows = [(tr("state"), _state(status.state))]
    if status.state is not VideoState.PUBLISHED:
        rows.append((tr("code"), status.code))
    fields = {
        tr("message"): status.message,
        tr("repeats"): status.duplicate_of,
        tr("image"): status.image,
        tr("thumbnail"): status.thumbnail,
        tr("flash"): status.flash_url,
    }
    rows += [(name, value) for name, value in fields.items() if value]
    if status.urls.mp4 or status.urls.m3u8:
        found = joined(f"{kind} {quality}" for kind, quality, _ in _each(status.urls))
        rows.append((tr("plays as"), tr("{found} (iqiyi-async urls shows where)", found=found)))
    return rows


async def show_list(cloud: AsyncVideoCloud, screen: Screen, *, page: int, page_size: int, every: bool) -> int:
    """`list`: one page of the published videos, or all of them."""
    if every:
        videos = tuple([video async for video in cloud.iter_videos(page_size=page_size)])
        found = VideoPage(videos=videos, total=len(videos), page=1, page_size=max(len(videos), 1))
    else:
        found = await cloud.list_videos(page=page, page_size=page_size)
    if screen.machine:
        screen.record(plain(found))
        return 0
    if found.videos:
        screen.table(
            (tr("video id"), tr("name"), tr("size"), tr("length"), tr("created")),
            (_list_row(video) for video in found.videos),
            right=(tr("size"), tr("length")),
        )
    shown = tr("{number} of {videos}", number=len(found.videos), videos=count(found.total, "video"))
    if not every and page * page_size < found.total:
        more = tr("--page {page} shows the next ones, --all shows all", page=page + 1)
        shown = tr("{found}; {remedy}", found=shown, remedy=more)
    screen.note(shown)
    return 0


def _list_row(video: Video) -> tuple[str, ...]:
    """What fits into 80 columns; JSON has the rest. The list holds published videos, so that another state is
    said. What the service said in a way that can't be read stays empty."""
    created = ""
    if video.created_at is not None:
        with suppress(OverflowError, OSError, ValueError):
            created = f"{video.created_at.astimezone():%Y-%m-%d}"
    length = words.span(video.duration) if video.duration else ""
    size = "" if video.size is None else words.size(video.size)
    state = "" if video.state is VideoState.PUBLISHED else f" ({_state(video.state)})"
    return (video.file_id, video.name + state, size, length, created)


async def show_urls(cloud: AsyncVideoCloud, screen: Screen, file_id: str, *, resolve: bool) -> int:
    """`urls`: where a video can be played; with the second exchange, the media themselves."""
    urls = await cloud.get_urls(file_id)
    if resolve:
        urls = attrs.evolve(urls, mp4=await _resolved(cloud, urls.mp4), m3u8=await _resolved(cloud, urls.m3u8))
    if screen.machine:
        screen.record({"file_id": file_id, "resolved": resolve, **plain(urls)})
        return 0
    for kind, quality, url in _each(urls):
        screen.result(f"{kind:<5} {words.padded(quality, 9)} {url}")
    time = f"{urls.expires_at.astimezone():%H:%M:%S}"
    screen.note(tr("they expire at {time}, about 15 minutes after they were asked for", time=time))
    if not resolve:
        screen.note(tr("each leads to a second exchange; --resolve makes it and shows where the media are"))
    return 0


async def _resolved(cloud: AsyncVideoCloud, urls: Mapping[str, str]) -> dict[str, str]:
    return {quality: await cloud.resolve_url(url) for quality, url in urls.items()}


def _each(urls: PlayUrls) -> list[tuple[str, str, str]]:
    kinds = (("mp4", urls.mp4), ("m3u8", urls.m3u8))
    return [(kind, _quality(quality), url) for kind, found in kinds for quality, url in found.items()]


def _quality(key: str) -> str:
    """A quality in words; one that is new is its key."""
    return tr(_QUALITIES[key]) if key in _QUALITIES else key


def confirm_deletion(screen: Screen, file_ids: Sequence[str]) -> bool:
    """Ask a person. Called before anything runs, so that Ctrl-C answers as well.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            tr("delete asks first, and there is no terminal to ask on"), tr("--yes deletes without asking")
        )
    for file_id in file_ids:
        screen.say(f"  {file_id}")
    screen.say(tr("Delete {videos} for good? [y/N] ", videos=count(len(file_ids), "video")), end="")
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            screen.say("")
    return answer.strip().lower() in ("y", "yes")


async def delete(cloud: AsyncVideoCloud, screen: Screen, file_ids: Sequence[str]) -> int:
    """`delete`: these and no others."""
    await cloud.delete_videos(file_ids)
    screen.result(tr("deleted {videos}", videos=count(len(file_ids), "video")))
    return 0

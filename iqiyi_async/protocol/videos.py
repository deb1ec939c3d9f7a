"""Sections 4 to 7 of the document: a video's status, the list of videos, their play URLs, their deletion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import attrs

from .. import _validation
from ..config import Endpoints
from ..errors import ConfigurationError, ResponseError
from ..models import PlayUrls, Quality, Video, VideoPage, VideoState, VideoStatus
from . import hosts
from .answers import (
    FAILED,
    OAUTH_CODES,
    SUCCESS,
    expect_success,
    read,
    words_of,
)
from .fields import Json, clean_address, mapping, present, structure, tolerant
from .wire import Answer, Call, Fields, Request, SecretName

#: The most entries of one page (section 5). The same bound keeps lists of ids within what servers take as a URL.
MAX_PAGE = 100

#: A few more entries than were asked for are taken; hundreds of thousands are not decoded.
_FAR_TOO_MANY = 2 * MAX_PAGE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Seconds from 1970 to the years 2 and 9998: the ends of the calendar can't be told in every local time.
_CALENDAR = -62_104_060_800, 253_339_228_800

#: The longest quality key that is kept; the known ones have two digits at most.
_LONGEST_KEY = 32

#: "Usually 15 minutes" (note 2 of section 6).
PLAY_URL_LIFETIME = timedelta(minutes=15)

_STATES = {
    SUCCESS: VideoState.PUBLISHED,
    "A00001": VideoState.PUBLISHING,
    "A00002": VideoState.REVIEW_FAILED,
    "A00003": VideoState.ABSENT,
    "A00004": VideoState.UPLOADING,
    "A00006": VideoState.CANCELLED,
    "A00007": VideoState.PUBLISH_FAILED,
}
_FILE_STATUS = {
    1: VideoState.PUBLISHING,
    2: VideoState.PUBLISHED,
    3: VideoState.REVIEW_FAILED,
    4: VideoState.ABSENT,
    5: VideoState.UPLOADING,
    6: VideoState.CANCELLED,
}

#: States of an upload that was finished.
FINISHED = frozenset({VideoState.PUBLISHING, VideoState.PUBLISHED, VideoState.REVIEW_FAILED, VideoState.PUBLISH_FAILED})
#: States of an upload that can't go on.
GONE = frozenset({VideoState.ABSENT, VideoState.CANCELLED})

_QUALITIES: Mapping[str, Quality] = {quality.value: quality for quality in Quality}


@attrs.frozen
class _Entry:
    fileId: str  # noqa: N815 - the wire's spelling


def get_status(endpoints: Endpoints, file_id: str) -> Call[VideoStatus]:
    """Section 4. Most of its codes are states, not errors; one that is not known is `VideoState.UNKNOWN`."""
    request = _get(endpoints, "fullStatus", ("file_id", _validation.file_id(file_id)))

    def decode(answer: Answer) -> VideoStatus:
        reply = read(answer)
        if reply.code is None or reply.code in FAILED or reply.code in OAUTH_CODES:
            expect_success(reply, FAILED)
        data = reply.data
        return VideoStatus(
            file_id=file_id,
            state=_STATES.get(reply.code or "", VideoState.UNKNOWN),
            code=reply.code or "",
            message=reply.message or words_of(data.get("msg")),
            urls=_play_urls(mapping(data.get("urllist")), answer),
            image=clean_address(data.get("img")),
            thumbnail=clean_address(data.get("thumbnail")),
            flash_url=clean_address(data.get("swfurl")),
            duplicate_of=_file_id(data.get("fileIdBefore")),
        )

    return Call("get_status", request, decode, file_id=file_id)


def list_videos(endpoints: Endpoints, file_ids: tuple[str, ...] | None, page: int, page_size: int) -> Call[VideoPage]:
    """Section 5: one page of the videos that are transcoded and approved (or published before their review).

    Args:
        endpoints: where the service lives.
        file_ids: only these, 1 to 100; None for all. There is no request for none of them.
        page: which page, from 1.
        page_size: entries of a page, 1 to 100.

    Raises:
        ConfigurationError: a page below 1, a page size outside of 1 to 100, no file_id or more than 100.
    """
    check_page(page, page_size)
    query: Fields = (("page_size", str(page_size)), ("page", str(page)))
    if file_ids is not None:
        query = (("file_ids", _joined(file_ids)), *query)
    request = _get(endpoints, "videoListForExternal", *query)

    def decode(answer: Answer) -> VideoPage:
        reply = read(answer)
        expect_success(reply, FAILED)
        fields = present(reply.fields)
        entries: object = fields.get("data") or []
        if not isinstance(entries, list):
            # Never an empty page for what can't be read: a walk through the pages would miss videos.
            raise ResponseError("data is not a list", status=answer.status)
        rows = cast("list[object]", entries)
        if len(rows) > _FAR_TOO_MANY:
            raise ResponseError(
                f"{len(rows)} entries came where at most {page_size} were asked for", status=answer.status
            )
        count = tolerant(fields.get("count"), int, len(rows))
        if count is None:
            if not rows:
                raise ResponseError("the count can't be read, and there are no entries", status=answer.status)
            count = len(rows)  # One odd field costs that field: entries are there.
        if count > 0 and "data" not in fields:
            raise ResponseError(f"the answer counts {count} videos and holds no list of them", status=answer.status)
        return VideoPage(tuple(_video(mapping(row), answer) for row in rows), count, page, page_size)

    return Call("list_videos", request, decode)


def check_page(page: object, page_size: object) -> None:
    """The bounds of section 5.

    Raises:
        ConfigurationError: a page below 1, or a page size outside of 1 to 100.
    """
    _validation.whole("page", page, least=1)
    _validation.whole("page_size", page_size, least=1, most=MAX_PAGE)


def get_urls(endpoints: Endpoints, file_id: str) -> Call[PlayUrls]:
    """Section 6."""
    request = _get(endpoints, "urllist", ("file_id", _validation.file_id(file_id)), base=endpoints.urls)

    def decode(answer: Answer) -> PlayUrls:
        reply = read(answer)
        expect_success(reply, FAILED)
        return _play_urls(reply.data, answer)

    return Call("get_urls", request, decode, file_id=file_id)


def resolve_url(endpoints: Endpoints, url: str) -> Call[str]:
    """The second exchange of a play URL (note 1 of section 6; contract, B9). Carries no token.

    Raises:
        ConfigurationError: not an address that may be followed.
    """
    problem = hosts.problem_with(_validation.text("url", url), private_allowed=not hosts.is_public(endpoints))
    if problem:
        raise ConfigurationError(f"the play URL is refused: {problem}")

    def decode(answer: Answer) -> str:
        reply = read(answer)
        expect_success(reply, FAILED)
        real = clean_address(reply.data.get("l"))
        if real is None or hosts.problem_with(real, private_allowed=not hosts.is_public(endpoints)):
            raise ResponseError("the answer holds no usable URL", status=answer.status)
        return real

    return Call("resolve_url", Request("GET", url), decode)


def delete_videos(endpoints: Endpoints, file_ids: tuple[str, ...]) -> Call[None]:
    """Section 7 with ``delete_type=1``: these videos and no others.

    Raises:
        ConfigurationError: no file_id, or more than 100.
    """
    return _delete(endpoints, "delete_videos", ("delete_type", "1"), ("file_ids", _joined(file_ids)))


def delete_all_videos(endpoints: Endpoints) -> Call[None]:
    """Section 7 with ``delete_type=0``: every video of the user. Nothing else in this library can say so.

    `file_ids` is documented as required, so it is sent, empty.
    """
    every = _delete(endpoints, "delete_all_videos", ("delete_type", "0"), ("file_ids", ""))
    # Never sent twice: videos may have come in between.
    return attrs.evolve(every, repeatable=False)


def batches(file_ids: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A list of ids in pieces that one request can carry."""
    for start in range(0, len(file_ids), MAX_PAGE):
        yield file_ids[start : start + MAX_PAGE]


def _get(endpoints: Endpoints, path: str, *query: tuple[str, str | SecretName], base: str | None = None) -> Request:
    token: Fields = (("access_token", SecretName.ACCESS_TOKEN),)
    return Request("GET", f"{base or endpoints.api}/api/file/{path}", query=(*token, *query))


def _delete(endpoints: Endpoints, operation: str, *query: tuple[str, str]) -> Call[None]:
    def decode(answer: Answer) -> None:
        expect_success(read(answer), FAILED)

    return Call(operation, _get(endpoints, "delete", *query), decode)


def _joined(file_ids: tuple[str, ...]) -> str:
    """One separator: the document's prose says ';', its URL and the official client use ',' (contract, B7)."""
    ids = _validation.file_ids(file_ids, empty=False)
    if len(ids) > MAX_PAGE:
        raise ConfigurationError(f"{len(ids)} file_ids in one request; the most is {MAX_PAGE}")
    return ",".join(ids)


def _play_urls(lists: Json, answer: Answer) -> PlayUrls:
    return PlayUrls(
        mp4=_by_quality(lists.get("mp4")),
        m3u8=_by_quality(lists.get("m3u8")),
        expires_at=datetime.fromtimestamp(answer.asked_at, UTC) + PLAY_URL_LIFETIME,
    )


def _by_quality(urls: object) -> dict[str, str]:
    found = {words_of(key)[:_LONGEST_KEY]: clean_address(url) for key, url in mapping(urls).items()}
    return {_QUALITIES.get(key, key): url for key, url in found.items() if url is not None}


def _video(row: Json, answer: Answer) -> Video:
    """One entry of the list. A field that can't be read costs that field; without a file_id there is no entry."""
    return Video(
        file_id=structure(row, _Entry, answer).fileId,
        name=tolerant(row.get("fileName"), str, "") or "",
        description=tolerant(row.get("description"), str, "") or "",
        size=tolerant(row.get("fileSize"), int, 0),
        state=_FILE_STATUS.get(tolerant(row.get("fileStatus"), int, 0) or 0, VideoState.UNKNOWN),
        created_at=_moment(tolerant(row.get("createTime"), float, math.nan)),
        play_count=tolerant(row.get("playCount"), int, 0),
        duration=tolerant(row.get("duration"), float, 0.0),
        image=clean_address(row.get("img")),
        original_image=clean_address(row.get("originalImg")),
        thumbnail=clean_address(row.get("thumbnail")),
        page_url=clean_address(row.get("pageUrl")),
    )


def _file_id(value: object) -> str | None:
    """A file_id that the service names, or None for what can't be one."""
    try:
        return _validation.file_id(str(value).strip()) if isinstance(value, str | int) else None
    except ConfigurationError:
        return None


def _moment(unix: float | None) -> datetime | None:
    """A moment that every time zone can show, or None for what can't be one."""
    if unix is None or not _CALENDAR[0] <= unix < _CALENDAR[1]:
        return None
    # Added up: the system's own functions refuse years before 1970 here and there.
    return _EPOCH + timedelta(seconds=unix)

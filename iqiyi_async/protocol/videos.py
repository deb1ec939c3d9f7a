"""Sections 4 to 7 of the document: a video's status, the list of videos, their play URLs, their deletion."""

from __future__ import annotations

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
)
from .fields import Json, clean_text, mapping, one_line, present, structure
from .wire import Answer, Call, Fields, Request, SecretName

#: The most entries of one page (section 5). The same bound keeps lists of ids within what servers take as a URL.
MAX_PAGE = 100

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
_QUALITIES: Mapping[str, Quality] = {quality.value: quality for quality in Quality}


@attrs.frozen
class _VideoFields:
    fileId: str  # noqa: N815 - the wire's spelling, here and below
    fileName: str = ""  # noqa: N815
    description: str = ""
    fileSize: int = 0  # noqa: N815
    fileStatus: int = 0  # noqa: N815
    createTime: float | None = None  # noqa: N815
    playCount: int = 0  # noqa: N815
    duration: float = 0.0
    img: str | None = None
    originalImg: str | None = None  # noqa: N815
    thumbnail: str | None = None
    pageUrl: str | None = None  # noqa: N815


@attrs.frozen
class _Count:
    count: int


def get_status(endpoints: Endpoints, file_id: str) -> Call[VideoStatus]:
    """Section 4. Most of its codes are states, not errors; one that is not known is `VideoState.UNKNOWN`."""
    request = _get(endpoints, "fullStatus", ("file_id", _validation.file_id(file_id)))

    def decode(answer: Answer) -> VideoStatus:
        reply = read("get_status", answer)
        if reply.code is None or reply.code in FAILED or reply.code in OAUTH_CODES:
            expect_success("get_status", reply, FAILED, file_id=file_id)
        data = reply.data
        return VideoStatus(
            file_id=file_id,
            state=_STATES.get(reply.code or "", VideoState.UNKNOWN),
            code=reply.code or "",
            message=reply.message or one_line(data.get("msg")),
            urls=_play_urls(mapping(data.get("urllist")), answer),
            image=clean_text(data.get("img")),
            thumbnail=clean_text(data.get("thumbnail")),
            flash_url=clean_text(data.get("swfurl")),
            duplicate_of=clean_text(data.get("fileIdBefore")),
        )

    return Call("get_status", request, decode, file_id=file_id)


def list_videos(endpoints: Endpoints, file_ids: tuple[str, ...], page: int, page_size: int) -> Call[VideoPage]:
    """Section 5: one page of the videos that are transcoded and approved (or published before their review).

    Raises:
        ConfigurationError: a page below 1, a page size outside of 1 to 100, or more than 100 file_ids.
    """
    _validation.whole("page", page, least=1)
    _validation.whole("page_size", page_size, least=1, most=MAX_PAGE)
    query: Fields = (("page_size", str(page_size)), ("page", str(page)))
    if file_ids:
        query = (("file_ids", _joined(file_ids)), *query)
    request = _get(endpoints, "videoListForExternal", *query)

    def decode(answer: Answer) -> VideoPage:
        reply = read("list_videos", answer)
        expect_success("list_videos", reply, FAILED)
        entries: object = reply.fields.get("data") or []
        if not isinstance(entries, list):
            # Never an empty page for what can't be read: whoever goes through the pages would miss videos.
            raise ResponseError("list_videos: data is not a list", status=answer.status, operation="list_videos")
        videos = tuple(
            _video(structure("list_videos", mapping(entry), _VideoFields, answer))
            for entry in cast("list[object]", entries)
        )
        counted = structure("list_videos", {"count": len(videos), **present(reply.fields)}, _Count, answer)
        return VideoPage(videos, counted.count, page, page_size)

    return Call("list_videos", request, decode)


def get_urls(endpoints: Endpoints, file_id: str) -> Call[PlayUrls]:
    """Section 6."""
    request = _get(endpoints, "urllist", ("file_id", _validation.file_id(file_id)))

    def decode(answer: Answer) -> PlayUrls:
        reply = read("get_urls", answer)
        expect_success("get_urls", reply, FAILED, file_id=file_id)
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
        reply = read("resolve_url", answer)
        expect_success("resolve_url", reply, FAILED)
        real = clean_text(reply.data.get("l"))
        if real is None or hosts.problem_with(real, private_allowed=not hosts.is_public(endpoints)):
            raise ResponseError(
                "resolve_url: the answer holds no usable URL", status=answer.status, operation="resolve_url"
            )
        return real

    return Call("resolve_url", Request("GET", url), decode)


def delete_videos(endpoints: Endpoints, file_ids: tuple[str, ...]) -> Call[None]:
    """Section 7 with ``delete_type=1``: these videos and no others.

    Raises:
        ConfigurationError: no file_id, or more than 100.
    """
    if not file_ids:
        raise ConfigurationError("file_ids must name at least one video")
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


def _get(endpoints: Endpoints, path: str, *query: tuple[str, str | SecretName]) -> Request:
    token: Fields = (("access_token", SecretName.ACCESS_TOKEN),)
    return Request("GET", f"{endpoints.api}/api/file/{path}", query=(*token, *query))


def _delete(endpoints: Endpoints, operation: str, *query: tuple[str, str]) -> Call[None]:
    def decode(answer: Answer) -> None:
        expect_success(operation, read(operation, answer), FAILED)

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
    found = {key: clean_text(url) for key, url in mapping(urls).items()}
    return {_QUALITIES.get(key, key): url for key, url in found.items() if url is not None}


def _video(fields: _VideoFields) -> Video:
    return Video(
        file_id=fields.fileId,
        name=fields.fileName,
        description=fields.description,
        size=fields.fileSize,
        state=_FILE_STATUS.get(fields.fileStatus, VideoState.UNKNOWN),
        created_at=_moment(fields.createTime),
        play_count=fields.playCount,
        duration=fields.duration,
        image=fields.img,
        original_image=fields.originalImg,
        thumbnail=fields.thumbnail,
        page_url=fields.pageUrl,
    )


def _moment(unix: float | None) -> datetime | None:
    try:
        return None if unix is None else datetime.fromtimestamp(unix, UTC)
    except (ValueError, OverflowError, OSError):
        return None


#: shim
FINISHED = frozenset({VideoState.PUBLISHING, VideoState.PUBLISHED, VideoState.REVIEW_FAILED, VideoState.PUBLISH_FAILED})
GONE = frozenset({VideoState.ABSENT, VideoState.CANCELLED})

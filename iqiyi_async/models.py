"""The values that go in and come out: frozen, comparable, printable without a secret.

What belongs here: what the words of the service mean to a caller. What must not: how they are spelt on the wire.
Times are aware datetimes in UTC; sizes are bytes; durations are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any, cast
from urllib.parse import quote

import attrs

from . import _validation
from ._redaction import shown
from .errors import ConfigurationError, VideoCloudError

__all__ = [
    "Bottleneck",
    "Category",
    "ChunkReceipt",
    "ClientStats",
    "Fingerprint",
    "JournalEntry",
    "Metadata",
    "Phase",
    "PlayUrls",
    "Quality",
    "StoredToken",
    "Token",
    "UploadEvent",
    "UploadItem",
    "UploadOutcome",
    "UploadProgress",
    "UploadReceipt",
    "UploadState",
    "UploadTicket",
    "Video",
    "VideoPage",
    "VideoState",
    "VideoStatus",
]


#: Metadata travels in a URL, of which usual servers take 8 KiB; some of that is for the token and the rest.
MOST_ENCODED = 6000


class Category(IntEnum):
    """What a video is about: `file_type` of the document's section 1.5."""

    FILM = 1
    TV_SERIES = 2
    DOCUMENTARY = 3
    ANIMATION = 4
    MUSIC = 5
    VARIETY = 6
    ENTERTAINMENT = 7
    GAMES = 8
    TRAVEL = 9
    TRAILER = 10
    EDUCATION = 12
    FASHION = 13
    CHILDREN = 15
    SHORT_FILM = 16
    SPORTS = 17
    ADVERTISING = 20
    LIFESTYLE = 21
    COMEDY = 22
    FINANCE = 24
    NEWS = 25
    CARS = 26
    ORIGINAL = 27
    MILITARY = 28


class Quality(StrEnum):
    """The quality keys of play URLs (sections 4 and 6). A key that is not here stays the plain string it came as."""

    TOPSPEED = "96"
    SMOOTH = "1"
    HIGH = "2"
    SUPER = "3"
    P720 = "4"
    P1080 = "5"


class VideoState(Enum):
    """Where a video stands (the codes of section 4 and `fileStatus` of section 5)."""

    UPLOADING = "uploading"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    REVIEW_FAILED = "review_failed"
    PUBLISH_FAILED = "publish_failed"
    CANCELLED = "cancelled"
    ABSENT = "absent"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether the service will not move the video out of this state by itself."""
        return self not in (VideoState.UPLOADING, VideoState.PUBLISHING, VideoState.UNKNOWN)


_CHINESE_COMMAS = re.compile("[，、]")


def _words(tag: str) -> list[str]:
    """The words of a tag that holds Chinese commas; another stays as it came."""
    if tag.isascii():
        return [tag]
    words = _CHINESE_COMMAS.split(tag)
    if len(words) == 1:
        return words
    words = [word.strip() for word in words if word.strip()]
    if not words:
        raise ConfigurationError("a tag must not be empty")
    return words


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError("tags must be a collection of strings, such as ('beach', 'Hainan')")
    words: list[str] = []
    for each in cast("Iterable[object]", value):
        tag = _validation.text("a tag", each, limit=200)
        if "," in tag:
            raise ConfigurationError("a tag must not hold a comma: the service separates tags with commas")
        # What Chinese keyboards type between words; the service would take all of them for one tag.
        words += _words(tag)
    # A set has another order in each process: what is told apart by its tags would be another thing in each.
    return tuple(sorted(words) if isinstance(value, AbstractSet) else words)


def _category(value: object) -> Category | None:
    if value is None:
        return None
    try:
        # True is 1 to Python, and a film to nobody.
        return Category(None if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except ValueError:
        raise ConfigurationError(f"{value!r} is not a category; use a member of Category") from None


@attrs.frozen
class Metadata:
    """What a video is called and about (section 1.5). Set before an upload is finished, or it never enters
    production.

    Attributes:
        name: the title; not empty.
        description: what the video shows; may be empty.
        tags: short words; none may hold a comma. One with `，` or `、` is split there; a set is sorted.
        category: the kind of video, or None for the application's default.

    Raises:
        ConfigurationError: a value that the service would not take.
    """

    name: str = attrs.field(validator=_validation.field(_validation.text))
    description: str = attrs.field(
        default="", validator=_validation.field(lambda name, value: _validation.text(name, value, empty=True))
    )
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tags)
    category: Category | None = attrs.field(default=None, converter=_category)

    def __attrs_post_init__(self) -> None:
        # A character takes twelve at the most: there may be a million of these, and few come near the limit.
        if 12 * (len(self.name) + len(self.description) + sum(map(len, self.tags))) <= MOST_ENCODED:
            return
        size = sum(len(quote(each, safe="")) for each in (self.name, self.description, *self.tags))
        if size > MOST_ENCODED:
            raise ConfigurationError(
                f"name, description and tags take {size} bytes of a URL; the most is {MOST_ENCODED}"
                " (a Chinese character takes 9)"
            )


@attrs.frozen
class Token:
    """An access token and what renews it (sections 2 and 3). Its repr hides both.

    Attributes:
        access_token: what the other operations carry.
        refresh_token: what renews it, or None when the service gave none.
        obtained_at: when it was asked for.
        expires_at: when the service stops taking it.
    """

    access_token: str = attrs.field(repr=False)
    refresh_token: str | None = attrs.field(repr=False)
    obtained_at: datetime
    expires_at: datetime


@attrs.frozen
class UploadTicket:
    """Permission to upload one file (section 1.1): where its ranges go, and under which name.

    Attributes:
        file_id: the upload's name at the service, and later the video's.
        upload_url: where its ranges go; each ticket may name another host.
        file_size: bytes of the file, as they were asked for.
    """

    file_id: str
    upload_url: str
    file_size: int


@attrs.frozen
class ChunkReceipt:
    """A range that the service holds, with an MD5 that both sides agree on (section 1.2).

    Attributes:
        first: index of its first byte in the file, from 0.
        last: index of its last byte.
        md5: hexadecimal MD5 of its bytes, in lower case.
        attempts: how often it was sent.
    """

    first: int
    last: int
    md5: str
    attempts: int = 1

    @property
    def size(self) -> int:
        """How many bytes the range has."""
        return self.last - self.first + 1


class Bottleneck(StrEnum):
    """What an upload waits for: the first of these that all of its ranges wait for (see `UploadEvent`)."""

    TOKEN = "token"  # noqa: S105 - a name, not a token
    BACKOFF = "backoff"
    BANDWIDTH_LIMIT = "bandwidth_limit"
    SOURCE = "source"
    HASHING = "hashing"
    WORKERS = "workers"
    NETWORK = "network"
    SERVICE = "service"


class UploadState(StrEnum):
    """Where an upload stands."""

    WAITING = "waiting"
    SENDING = "sending"
    PAUSED = "paused"
    FINISHING = "finishing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the upload is over."""
        return self in (UploadState.FINISHED, UploadState.FAILED, UploadState.CANCELLED)


@attrs.frozen
class UploadReceipt:
    """A finished upload.

    Attributes:
        file_id: the video's name at the service.
        size: its bytes.
        chunks: how many ranges it was sent in, by this call.
        retries: how many requests had to be repeated.
        resumed_bytes: bytes that an earlier, interrupted upload had brought there already.
        elapsed: how long this call took, in seconds.
        tuning: what was decided where the options say ``"auto"``, and why; empty otherwise.
        time_by_cause: the share of the time that each cause took; the shares sum to 1, or there are none.
    """

    file_id: str
    size: int
    chunks: int
    retries: int
    resumed_bytes: int
    elapsed: float
    tuning: str = ""
    time_by_cause: Mapping[Bottleneck, float] = attrs.field(factory=dict[Bottleneck, float], eq=False)


@attrs.frozen
class UploadProgress:
    """How far an upload is: absolute numbers that never go backwards.

    Attributes:
        file_id: the upload.
        total: the size of the source, in bytes.
        sent: bytes handed to the network at least once.
        accepted: bytes that the service confirmed with the right MD5.
        chunks_done: ranges confirmed.
        chunks_in_flight: ranges under way at this moment (the one number that may fall).
        retries: requests repeated so far.
        elapsed: seconds since the upload began.
    """

    file_id: str
    total: int
    sent: int
    accepted: int
    chunks_done: int
    chunks_in_flight: int
    retries: int
    elapsed: float


@attrs.frozen
class UploadEvent:
    """One moment of an upload.

    Attributes:
        state: where it stands.
        progress: how far it is.
        bottleneck: what all of its ranges wait for, or None if they wait for different things or nothing.
        receipt: what came out, once it is finished.
        error: why it ended, if it failed or was cancelled.
    """

    state: UploadState
    progress: UploadProgress
    bottleneck: Bottleneck | None = None
    receipt: UploadReceipt | None = None
    error: VideoCloudError | None = None


@attrs.frozen
class ClientStats:
    """What a client is doing at one moment.

    Attributes:
        active: uploads under way, waiting ones included.
        waiting: uploads that have not sent a byte yet.
        workers_busy: workers that are sending.
        workers: how many workers there are.
        outage: whether the client waits for a service that is down.
        bytes_per_second: what the service accepts of all uploads under way.
    """

    active: int
    waiting: int
    workers_busy: int
    workers: int
    outage: bool
    bytes_per_second: float


def _source_repr(source: object) -> str:
    """No bytes of a video, and no signature of a URL."""
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{memoryview(cast('bytes', source)).nbytes} bytes>"
    return repr(shown(source) if isinstance(source, str) else source)


@attrs.frozen
class UploadItem:
    """One of many uploads: what `AsyncVideoCloud.upload` takes, as a value.

    Attributes:
        source: a path; bytes; an async iterable of bytes; an object with an async ``read(n)``; or a range source.
        metadata: what the video is called and about.
        file_type: such as ``"mp4"``; taken from the name of the source if there is one.
        size: bytes of the source; needed for streams only.
        key: the caller's own name for the source (1 to 512 characters), or None.
    """

    source: Any = attrs.field(hash=False, repr=_source_repr)
    metadata: Metadata
    file_type: str | None = None
    size: int | None = None
    key: str | None = None


@attrs.frozen
class UploadOutcome:
    """What became of one of many uploads.

    Attributes:
        item: what was to be uploaded.
        receipt: of the finished upload, or None.
        status: of the published video, where it was waited for.
        error: why there is no receipt, or why the video was not published; None where all went well.
        duplicate: of a batch: the bytes were a video already, and the receipt names that one. Nothing was sent.
    """

    item: UploadItem
    receipt: UploadReceipt | None = None
    status: VideoStatus | None = None
    error: Exception | None = None
    duplicate: bool = False

    @property
    def ok(self) -> bool:
        """Whether all went well."""
        return self.error is None


class Phase(Enum):
    """How far an upload in a journal has come. What follows from FINISHING and CANCELLING may have happened."""

    SENDING = "sending"
    FINISHING = "finishing"
    CANCELLING = "cancelling"
    FINISHED = "finished"


@attrs.frozen
class Fingerprint:
    """What a source looked like: enough to tell whether it may be the same one.

    Attributes:
        size: in bytes.
        mtime_ns: last change of the content, in nanoseconds; 0 where there is none.
        inode: of the file; 0 where there is none.
        digest: hexadecimal digest of samples from its head, middle and tail.
        device: of the file; 0 where there is none.
        ctime_ns: last change of the file or its attributes, in nanoseconds; 0 where there is none.
    """

    size: int
    mtime_ns: int
    inode: int
    digest: str
    device: int = 0
    ctime_ns: int = 0


@attrs.frozen
class JournalEntry:
    """What is known of one upload. No token is in it.

    Attributes:
        file_id: the upload's name at the service.
        upload_url: where its ranges go.
        fingerprint: of the source when the upload began.
        phase: how far it has come.
        accepted: the ranges that the service holds, in the order in which they were accepted; they may repeat or
            overlap.
        name: what a person knows the source by: a path, or the caller's key.
        account: whose upload it is: a short hexadecimal string, no secret.
        group: the group that the caller gave, or an empty string.
        file_type: such as ``"mp4"``.
        metadata: digest of the metadata that was last sent for it; empty if none was.
        remember: how long a finished upload is remembered, in seconds.
        changed: when the entry was begun or its phase last changed (Unix time, seconds); set by the journal.
        key: its name in the journal; set by the journal.
    """

    file_id: str
    upload_url: str
    fingerprint: Fingerprint
    phase: Phase = Phase.SENDING
    accepted: tuple[ChunkReceipt, ...] = ()
    name: str = ""
    account: str = ""
    group: str = ""
    file_type: str = ""
    metadata: str = ""
    remember: float = 30 * 86400.0
    changed: float = 0.0
    key: str = ""


@attrs.frozen
class StoredToken:
    """A token as a store holds it.

    Attributes:
        version: the number of its write: each write of a key has a greater one than the write before.
        token: the token.
    """

    version: int
    token: Token


@attrs.frozen
class PlayUrls:
    """Where a video can be played: quality key to URL (section 6). Each needs the second exchange (`resolve_url`).

    Attributes:
        mp4: URLs of MP4 files, by `Quality`.
        m3u8: URLs of HLS playlists, by `Quality`.
        expires_at: when they stop working: about 15 minutes after they were asked for.
    """

    mp4: Mapping[str, str] = attrs.field(hash=False)
    m3u8: Mapping[str, str] = attrs.field(hash=False)
    expires_at: datetime


@attrs.frozen
class VideoStatus:
    """The full status of a video (section 4).

    Attributes:
        file_id: the video.
        state: what the code means.
        code: the service's code as it came.
        message: the service's words on one line, at most 500 characters, possibly empty.
        urls: play URLs, once published.
        image: the cover picture, or None.
        thumbnail: the small picture, or None.
        flash_url: the player of the old days, or None.
        duplicate_of: the file_id of the earlier video that this one repeats, or None.
    """

    file_id: str
    state: VideoState
    code: str
    message: str
    urls: PlayUrls
    image: str | None = None
    thumbnail: str | None = None
    flash_url: str | None = None
    duplicate_of: str | None = None


@attrs.frozen
class Video:
    """One entry of the list of videos (section 5). What the service spells in a way that can't be read is None.

    Attributes:
        file_id: the video.
        name: its title.
        description: what it shows.
        size: bytes of the file that was uploaded.
        state: where it stands.
        created_at: when it was uploaded.
        play_count: how often it was played.
        duration: its length in seconds.
        image: the cover picture.
        original_image: the cover picture as it was before it was scaled.
        thumbnail: the small picture.
        page_url: the page that plays it.
    """

    file_id: str
    name: str
    description: str
    size: int | None
    state: VideoState
    created_at: datetime | None
    play_count: int | None
    duration: float | None
    image: str | None
    original_image: str | None
    thumbnail: str | None
    page_url: str | None


@attrs.frozen
class VideoPage:
    """One page of the list of videos (section 5).

    Attributes:
        videos: the entries of this page.
        total: how many videos the user has in all, as the service counts; the entries of this page where it does not
            say.
        page: which page this is, from 1.
        page_size: how many entries were asked for.
    """

    videos: tuple[Video, ...]
    total: int
    page: int
    page_size: int

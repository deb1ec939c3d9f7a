"""The words of the service: operations, codes, states, file types, categories, as the API document names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """What a request asks for; faults and the history name operations by these words."""

    AUTHORIZE = "authorize"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of an operation
    REQUEST_UPLOAD = "request_upload"
    UPLOAD_CHUNK = "upload_chunk"
    SET_METADATA = "set_metadata"
    FINISH_UPLOAD = "finish_upload"
    CANCEL_UPLOAD = "cancel_upload"
    GET_STATUS = "get_status"
    LIST_VIDEOS = "list_videos"
    COUNT_VIDEOS = "count_videos"
    GET_URLS = "get_urls"
    DELETE_VIDEOS = "delete_videos"
    RESOLVE_URL = "resolve_url"
    PLAY = "play"


class Code:
    """Service codes. One code means different things in different operations, hence the repetition."""

    SUCCESS: Final = "A00000"
    FAILED: Final = "Q00001"
    # 1.1
    APPLICATION_PENDING: Final = "A00005"
    APPLICATION_REJECTED: Final = "A00007"
    APPLICATION_FROZEN: Final = "A00008"
    APPLICATION_DELETED: Final = "A00009"
    BAD_PARAMETER: Final = "A00010"
    OVER_QUOTA: Final = "A00018"
    # 1.2 to 1.4
    BAD_FILE_ID: Final = "A00005"
    # 2 and 3
    INVALID_REQUEST: Final = "A21323"
    INVALID_CLIENT: Final = "A21324"
    INVALID_GRANT: Final = "A21325"
    TOKEN_EXPIRED: Final = "A21327"  # noqa: S105
    UNSUPPORTED_GRANT: Final = "A21328"
    TOKEN_INVALID: Final = "A21332"  # noqa: S105
    # 4
    PUBLISHING: Final = "A00001"
    REVIEW_FAILED: Final = "A00002"
    NO_SUCH_VIDEO: Final = "A00003"
    UPLOADING: Final = "A00004"
    CANCELLED: Final = "A00006"
    PUBLISHING_FAILED: Final = "A00007"
    # Seen by an official client, not in the document: finish was said before.
    ALREADY_FINISHED: Final = "A00012"


class FileState(StrEnum):
    """Where a video stands in its life."""

    UPLOADING = "uploading"
    CANCELLED = "cancelled"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    REVIEW_FAILED = "review_failed"
    PUBLISHING_FAILED = "publishing_failed"
    DELETED = "deleted"


#: Section 4: the code that full status answers for a state.
STATUS_CODES: Final[Mapping[FileState, str]] = {
    FileState.UPLOADING: Code.UPLOADING,
    FileState.CANCELLED: Code.CANCELLED,
    FileState.PUBLISHING: Code.PUBLISHING,
    FileState.PUBLISHED: Code.SUCCESS,
    FileState.REVIEW_FAILED: Code.REVIEW_FAILED,
    FileState.PUBLISHING_FAILED: Code.PUBLISHING_FAILED,
    FileState.DELETED: Code.NO_SUCH_VIDEO,
}

#: Section 1.1: what openupload answers for an application that is not in good standing.
APPLICATION_CODES: Final[Mapping[str, str]] = {
    "pending": Code.APPLICATION_PENDING,
    "rejected": Code.APPLICATION_REJECTED,
    "frozen": Code.APPLICATION_FROZEN,
    "deleted": Code.APPLICATION_DELETED,
}

#: Section 5: `fileStatus` of a state.
LISTED_STATUS: Final[Mapping[FileState, int]] = {
    FileState.PUBLISHING: 1,
    FileState.PUBLISHED: 2,
    FileState.REVIEW_FAILED: 3,
    FileState.PUBLISHING_FAILED: 3,
    FileState.DELETED: 4,
    FileState.UPLOADING: 5,
    FileState.CANCELLED: 6,
}

#: The media types that bytes of the known file types are served as; any other type is served as plain bytes.
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "flv": "video/x-flv",
    "f4v": "video/x-f4v",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "rm": "application/vnd.rn-realmedia",
    "rmvb": "application/vnd.rn-realmedia-vbr",
    "wmv": "video/x-ms-wmv",
    "mov": "video/quicktime",
    "ts": "video/mp2t",
    "vob": "video/mpeg",
    "asf": "video/x-ms-asf",
    "wm": "video/x-ms-wm",
    "3gp": "video/3gpp",
    "mpe": "video/mpeg",
    "qt": "video/quicktime",
    "webm": "video/webm",
}

#: Section 1.5: the category numbers.
CATEGORIES: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 20, 21, 22, 24, 25, 26, 27, 28})

#: Sections 4 and 6: the keys of the qualities, by their names in English.
QUALITIES: Final[Mapping[str, str]] = {
    "topspeed": "96",
    "smooth": "1",
    "high": "2",
    "super": "3",
    "720P": "4",
    "1080P": "5",
}
#: The qualities that each format may have: mp4 files are for mobiles.
FORMATS: Final[Mapping[str, tuple[str, ...]]] = {"mp4": ("1", "2"), "m3u8": tuple(QUALITIES.values())}

#: Section 5.
DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100


def quality_keys(value: Iterable[str]) -> tuple[str, ...]:
    """The keys of qualities that are given by key ("3") or by name ("super"), in the order of the document.

    Raises:
        ValueError: not a quality, or none at all.
    """
    if isinstance(value, str):
        raise ValueError("qualities must be a list of names or keys, not one string")  # noqa: TRY004
    chosen = {QUALITIES.get(each, each) for each in value}
    unknown = chosen.difference(QUALITIES.values())
    if unknown or not chosen:
        names = ", ".join(f"{name} ({key})" for name, key in QUALITIES.items())
        raise ValueError(f"qualities must be one or more of {names}, not {sorted(unknown)}")
    return tuple(key for key in QUALITIES.values() if key in chosen)


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """The service says no: a code of the document and words for the person who reads the answer.

    Args:
        code: the service code of the answer.
        message: why, for `msg`, which is left out where it is empty. Never holds a token or a secret.
        data: the answer's `data`, where a refusal has one.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data = data


class LostFileId(Refusal):
    """No file_id came in any of the places that are read: as a rule a proxy has dropped its header."""

    def __init__(self) -> None:
        super().__init__(Code.BAD_FILE_ID, "can not find file id None")

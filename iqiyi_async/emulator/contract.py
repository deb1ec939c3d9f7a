"""The words of the service: operations, codes, states, file types, categories, as the API document names them.

What belongs here: names and numbers of the document, and the one exception that carries them. What must not:
behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
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

#: The file types that the official uploader admits, with the media type their bytes are served as.
FILE_TYPES: Final[Mapping[str, str]] = {
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
}

#: Section 1.5: the category numbers.
CATEGORIES: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 20, 21, 22, 24, 25, 26, 27, 28})

#: Sections 4 and 6: the qualities that the document's examples show for each format.
QUALITIES: Final[Mapping[str, tuple[str, ...]]] = {"mp4": ("1", "2"), "m3u8": ("96", "1", "2")}

#: Section 5.
DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100
LISTED_STATUS: Final = 2


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """The service says no: a code of the document and words for the person who reads the answer.

    Args:
        code: the service code of the answer.
        message: why, for `msg`. Never holds a token or a secret.
        data: the answer's `data`, where a refusal has one.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data = data

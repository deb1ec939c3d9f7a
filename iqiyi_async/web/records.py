"""What the application and the gateway tell each other of an upload, and how the store remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import UnionType
from typing import Any, cast

import attrs

from .. import ConfigurationError, Metadata
from ..stores import GatewayRecord
from .tus import MOST, TusError

#: What a video counts as whose name and type say nothing.
DEFAULT_TYPE = "mp4"

#: What browsers call videos. (The module mimetypes would read files of the system.)
_BY_TYPE = {
    "video/mp4": ".mp4",
    "video/x-m4v": ".m4v",
    "video/quicktime": ".mov",
    "video/mpeg": ".mpg",
    "video/mp2t": ".ts",
    "video/x-msvideo": ".avi",
    "video/x-ms-wmv": ".wmv",
    "video/x-flv": ".flv",
    "video/x-matroska": ".mkv",
    "video/3gpp": ".3gp",
}


@attrs.frozen
class UploadGrant:
    """What the application says of an upload that it lets begin.

    Attributes:
        metadata: what the video is called and about.
        owner: who may go on with it: what `authenticate` returns for the same user. What it returned for the creation
            if empty.
        group: whose share of the workers it takes (a user, a tenant).
        max_size: bytes at most; a larger one is refused with 413.
        file_type: such as ``"mp4"``; else by the name or the type that the browser gave.

    Raises:
        ConfigurationError: a value of the wrong kind.
    """

    metadata: Metadata
    owner: str = ""
    group: str | None = None
    max_size: int | None = None
    file_type: str | None = None

    def __attrs_post_init__(self) -> None:
        check_kind("metadata", self.metadata, Metadata)
        check_kind("owner", self.owner, str)
        for name, value, kind in (("group", self.group, str), ("file_type", self.file_type, str)):
            if value is not None:
                check_kind(name, value, kind)
        if self.max_size is not None:
            check_number("max_size", self.max_size)


@attrs.frozen
class BrowserUpload:
    """An upload as the application sees it.

    Attributes:
        id: the last part of its URL. Who knows it may go on with the upload if it has no owner.
        size: bytes, or None while the browser has not said.
        metadata: the decoded Upload-Metadata.
        owner: who may go on with it.
        group: as it was granted.
    """

    id: str
    size: int | None
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    owner: str = ""
    group: str | None = None


@attrs.frozen
class Details:
    """What the gateway remembers of an upload besides the store's own columns.

    Attributes:
        metadata: what the video is called and about.
        file_type: such as ``"mp4"``.
        group: whose share of the workers it takes.
        said: Upload-Metadata as it came.
        told: it, decoded.
        max_size: bytes at most, or None.
        spooled: whether its bytes go to the spool first.
    """

    metadata: Metadata
    file_type: str
    group: str | None
    said: str
    told: Mapping[str, str] = attrs.field(hash=False)
    max_size: int | None = None
    spooled: bool = False

    def as_json(self) -> str:
        """For the store."""
        video = self.metadata
        return json.dumps(
            {
                "name": video.name,
                "description": video.description,
                "tags": video.tags,
                "category": video.category,
                "file_type": self.file_type,
                "group": self.group,
                "said": self.said,
                "told": dict(self.told),
                "max_size": self.max_size,
                "spooled": self.spooled,
            }
        )

    @classmethod
    def of(cls, record: GatewayRecord) -> Details:
        """As the store has kept it."""
        kept = cast("dict[str, Any]", json.loads(record.details))
        return cls(
            Metadata(kept["name"], kept["description"], tuple(kept["tags"]), kept["category"]),
            kept["file_type"],
            kept["group"],
            kept["said"],
            kept["told"],
            kept["max_size"],
            kept["spooled"],
        )

    def upload(self, record: GatewayRecord) -> BrowserUpload:
        """The upload as the application sees it."""
        return BrowserUpload(record.key, record.size, self.told, record.owner, self.group)


def granted(answer: UploadGrant | Metadata) -> UploadGrant:
    """What `on_create` returned, as a grant.

    Raises:
        ConfigurationError: it is neither a grant nor metadata.
    """
    if isinstance(answer, Metadata):
        return UploadGrant(answer)
    check_kind("what on_create returns", answer, UploadGrant)
    return answer


def check_size(size: int | None, *bounds: int | None) -> None:
    """Refuse what is too large.

    Raises:
        TusError: 413.
    """
    most = min(bound for bound in (*bounds, MOST) if bound is not None)
    if size is not None and size > most:
        raise TusError(413, f"the upload has {size} bytes; the most is {most}")


def file_type_of(grant: UploadGrant, told: Mapping[str, str]) -> str:
    """What the service calls the kind of a file: as granted, by its name, by its type; else `DEFAULT_TYPE`."""
    if grant.file_type is not None:
        return grant.file_type
    names = [told.get("filename", ""), told.get("name", "")]
    endings = [PurePosixPath(name).suffix for name in names]
    endings += [_BY_TYPE.get(told.get(key, "").lower(), "") for key in ("filetype", "type")]
    for ending in endings:
        kind = ending.removeprefix(".").lower()
        if kind.isascii() and kind.isalnum() and len(kind) <= 16:
            return kind
    return DEFAULT_TYPE


def check_number(name: str, value: object, kind: type | UnionType = int) -> None:
    """Refuse what is no number above 0.

    Raises:
        ConfigurationError: with the name of it.
    """
    if isinstance(value, bool) or not isinstance(value, kind) or not cast("float", value) > 0:
        what = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"{name} must be {what} above 0, not {value!r}")


def check_kind(name: str, value: object, kind: type) -> None:
    """Refuse what is of another kind.

    Raises:
        ConfigurationError: with the name of it.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigurationError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")

"""The words of tus 1.0.0: what stands in the headers of requests and answers. Pure: no I/O and no clock."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

import attrs
from starlette.datastructures import Headers

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
#: With a spool only: the service wants the size first.
DEFERRED = "creation-defer-length"
CONTENT_TYPE = "application/offset+octet-stream"
ALGORITHMS = ("sha1", "md5", "sha256", "sha512")

#: The largest size that the service is asked for.
MOST = 2**53

METHODS = "POST, HEAD, PATCH, DELETE, GET, OPTIONS"
#: For browsers on pages of other origins.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version,"
        " Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset"
    ),
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": (
        "Authorization, Cache-Control, Content-Type, Last-Event-ID, Tus-Resumable, Upload-Checksum, Upload-Concat,"
        " Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Request-ID,"
        " X-Requested-With"
    ),
    "Access-Control-Max-Age": "86400",
}

_NUMBER = re.compile(r"[0-9]{1,40}")
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class TusError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        headers: for the answer.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers: Mapping[str, str] = headers or {}


def unavailable(text: str, seconds: float = 2.0) -> TusError:
    """The store or the service is down for now: clients keep the upload, and come back."""
    return TusError(503, text, {"Retry-After": str(max(1, round(seconds)))})


class Hash(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


@attrs.frozen
class Checksum:
    """What a body has to be (extension checksum)."""

    algorithm: str
    digest: bytes

    def begin(self) -> Hash:
        """A hash to feed the body to."""
        # Against mistakes of the way, not against forgers: the client says both.
        return hashlib.new(self.algorithm, usedforsecurity=False)


def only(headers: Headers, name: str) -> str | None:
    """A header that may be there once; None if it is missing.

    Raises:
        TusError: it is there twice.
    """
    values = headers.getlist(name)
    if len(values) > 1:
        raise TusError(400, f"{name} may be there once only")
    return values[0] if values else None


def number(headers: Headers, name: str) -> int | None:
    """A header that is a whole number; None if it is missing.

    Raises:
        TusError: it is something else, or there twice.
    """
    text = only(headers, name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise TusError(400, f"{name} must be a whole number of at least 0")
    return int(text)


def is_bytes(headers: Headers) -> bool:
    """Whether the body is said to be bytes of an upload."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def preflight(headers: Headers) -> dict[str, str]:
    """What a browser is told that asks before it sends. It may send whatever headers it asks for (an application may
    want some of its own): cookies are not allowed by this."""
    asked = headers.get("access-control-request-headers", "")
    more = f", {asked}" if _NAMES.fullmatch(asked) else ""
    return {**PREFLIGHT, "Access-Control-Allow-Headers": PREFLIGHT["Access-Control-Allow-Headers"] + more}


def metadata(text: str) -> dict[str, str]:
    """The decoded Upload-Metadata.

    Raises:
        TusError: it is not as the protocol says.
    """
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            decoded = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise TusError(400, "a value of Upload-Metadata is no base64 of UTF-8") from None
        if not key or not key.isascii() or key in found:
            raise TusError(400, "a key of Upload-Metadata is empty, not ASCII, or there twice")
        found[key] = decoded
    return found


def checksum(text: str | None) -> Checksum | None:
    """The parsed Upload-Checksum.

    Raises:
        TusError: it can't be read, or the algorithm is not supported.
    """
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise TusError(400, f"Upload-Checksum must be one of {', '.join(ALGORITHMS)}")
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise TusError(400, "Upload-Checksum holds no base64") from None
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise TusError(400, "Upload-Checksum is too short or too long for its algorithm")
    return Checksum(algorithm, digest)


def size_of_new(headers: Headers, *, deferred: bool) -> int | None:
    """The size that a creation names; None if it comes later.

    Raises:
        TusError: none, both, or one that can't be.
    """
    length, later = number(headers, "upload-length"), only(headers, "upload-defer-length")
    if "upload-concat" in headers:
        raise TusError(400, "uploads can't be concatenated here")
    if later is not None:
        if later != "1" or length is not None:
            raise TusError(400, "give either Upload-Length or Upload-Defer-Length: 1")
        if not deferred:
            raise TusError(400, "Upload-Length is needed: the service wants the size first")
        return None
    if length is None:
        raise TusError(400, "Upload-Length is needed")
    if length == 0:
        raise TusError(400, "an empty file can't become a video")
    return length


def moment(seconds: float) -> str:
    """A time of HTTP."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def origin(headers: Mapping[str, str], scheme: str, host: str) -> str:
    """Scheme and host as the client sees them, behind a proxy too.

    A client that forges the headers of a proxy only changes the address in its own answer.
    """
    forwarded = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    outside = headers.get("x-forwarded-host", "").split(",")[0].strip()
    if forwarded in ("http", "https"):
        scheme = forwarded
    if _HOST.fullmatch(outside) is not None:
        host = outside
    return f"{scheme}://{host}" if _HOST.fullmatch(host) is not None else ""

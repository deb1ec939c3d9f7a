"""Section 1 of the document: request an upload, send ranges, finish, cancel, describe."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping

import attrs

from .. import _validation
from ..config import Endpoints
from ..errors import AuthorizationError, ConfigurationError, InvalidParameterError, ResponseError
from ..models import Metadata, UploadTicket
from . import hosts
from .answers import (
    FAILED,
    INVALID_PARAMETER,
    LOST,
    OVER_QUOTA,
    SUCCESS,
    UNKNOWN_FILE,
    Meaning,
    expect_success,
    read,
)
from .fields import structure
from .forms import content_type, form
from .wire import Answer, Call, Fields, Request, SecretName

#: What the official uploaders admit (contract, B14). Others are sent as well: only the service knows.
FILE_TYPES = frozenset(
    "mpg mpeg mp4 m4v flv f4v mkv avi rm rmvb wmv mov ts vob asf wm 3gp ram dat mpe qt divx dv".split()  # noqa: SIM905
)
_FILE_TYPE = re.compile(r"[a-z0-9]{1,16}")

_REQUEST_CODES = {
    "A00005": Meaning(AuthorizationError, "the application is still waiting for its review"),
    "A00007": Meaning(AuthorizationError, "the application was rejected at its review"),
    "A00008": Meaning(AuthorizationError, "the application is frozen"),
    "A00009": Meaning(AuthorizationError, "the application was deleted"),
    "A00010": INVALID_PARAMETER,
    "A00018": OVER_QUOTA,
}
_RANGE_CODES = {"A00005": UNKNOWN_FILE, "A00010": INVALID_PARAMETER}

#: Behind a proxy that drops it, a header looks to the service like one that was never sent.
_TOKEN_IN_HEADER: Mapping[str, Meaning] = {
    **FAILED,
    "A21332": Meaning(
        AuthorizationError,
        "the access token is invalid, or its header was lost at a proxy that drops headers with underscores (nginx does"
        ' by default; then set UploadOptions(parameters="body"))',
    ),
}
_FORM_LOST: Mapping[str, Meaning] = {
    LOST: Meaning(
        InvalidParameterError,
        "the service found no file_id in the form that was sent: something on the way has changed the body",
    )
}
_TOO_LARGE = "the range is too large for the service or for a proxy on the way; set a smaller chunk_size"

#: One client counts the second code of finish as success: it was finished before (contract, B15).
_FINISHED = frozenset({SUCCESS, "A00012"})


@attrs.frozen
class RangeAnswer:
    """What the service says it stored of a range.

    Attributes:
        md5: lower-case hex MD5 of the bytes it stored.
        accepted: how many bytes it stored.
        file_id: for which upload, or None if it did not say.
    """

    md5: str
    accepted: int
    file_id: str | None


@attrs.frozen
class _TicketFields:
    file_id: str
    upload_url: str


@attrs.frozen
class _RangeFields:
    range_md5: str
    file_range_accepted: int
    file_id: str | None = None


def check_file_type(value: object) -> str:
    """The type of a file as the service wants it: ``mp4`` for ``.MP4``.

    Raises:
        ConfigurationError: not letters and digits, as the ending of a file's name.
    """
    kind = _validation.text("file_type", value).strip().removeprefix(".").lower()
    if _FILE_TYPE.fullmatch(kind) is None:
        raise ConfigurationError(
            f"file_type {kind[:20]!r} is not the ending of a file's name, such as 'mp4': up to 16 letters and digits"
        )
    return kind


def doubt_about(file_type: str) -> str | None:
    """A warning for a type that no official uploader is known to admit, or None."""
    if file_type in FILE_TYPES:
        return None
    return f"file_type {file_type!r} is none that the official uploaders admit: the service may refuse it"


def check_file_size(value: object) -> int:
    """The size of a file in bytes; nothing can be published of an empty one.

    Raises:
        ConfigurationError: not a whole number above 0.
    """
    return _validation.whole("file_size", value, least=1, most=2**53, unit="bytes")


def check_ticket(ticket: UploadTicket, endpoints: Endpoints) -> None:
    """A ticket may have been kept or made by the caller: the same is checked again as when the service gave it.

    Raises:
        ConfigurationError: its file_id, size or address can't be right.
    """
    _validation.file_id(ticket.file_id)
    check_file_size(ticket.file_size)
    problem = hosts.problem_with(ticket.upload_url, private_allowed=not hosts.is_public(endpoints))
    if problem:
        raise ConfigurationError(f"the ticket's upload_url is refused: {problem}")


def check_range(ticket: UploadTicket, first: int, size: int) -> int:
    """The index of the last byte of a range that begins at `first` (section 1.2).

    Raises:
        ConfigurationError: an empty range, or one outside of the file.
    """
    _validation.whole("first", first, least=0)
    if not 0 < size <= ticket.file_size - first:
        raise ConfigurationError(
            f"a range of {size} bytes from {first} on is empty or outside of a file of {ticket.file_size} bytes"
        )
    return first + size - 1


def request_upload(
    endpoints: Endpoints, file_type: str, file_size: int, *, parameters: str = "headers", boundary: str = ""
) -> Call[UploadTicket]:
    """Section 1.1. Repeatable: what a lost answer leaves behind is an upload without a byte, never a video.

    Args:
        endpoints: where the service lives.
        file_type: such as ``"mp4"``.
        file_size: bytes.
        parameters: ``"headers"`` as documented, or ``"body"`` for a form with ``?type=body`` (contract, B3).
        boundary: for the form: a random string that no value can hold.

    Raises:
        ConfigurationError: a type that no file has, or no bytes.
    """
    kind, size = check_file_type(file_type), check_file_size(file_size)
    fields: Fields = (("filetype", kind), ("filesize", str(size)), ("access_token", SecretName.ACCESS_TOKEN))
    if parameters == "body":
        request, codes = _form(endpoints, "openupload", fields, boundary), _REQUEST_CODES
    else:
        request = Request("GET", f"{endpoints.upload}/openupload", headers=fields)
        codes = {**_REQUEST_CODES, **_TOKEN_IN_HEADER}

    def decode(answer: Answer) -> UploadTicket:
        reply = read(answer)
        expect_success(reply, codes)
        fields = structure(reply.data, _TicketFields, answer)
        ticket = UploadTicket(fields.file_id, fields.upload_url, size)
        try:
            check_ticket(ticket, endpoints)
        except ConfigurationError as problem:
            # Here it is the service's word, not the caller's.
            raise ResponseError(f"the service gave a ticket that is refused: {problem}", status=answer.status) from None
        return ticket

    return Call("request_upload", request, decode)


def upload_chunk(
    ticket: UploadTicket, first: int, data: bytes | memoryview, *, parameters: str = "headers", boundary: str
) -> Call[RangeAnswer]:
    """Section 1.2: one range, from `first` on, inclusive and counted from 0. Carries no token.

    Args:
        ticket: which upload, and where it goes.
        first: index of the range's first byte.
        data: the bytes of the range; sent from where they are, not copied.
        parameters: ``"headers"`` as documented, or ``"body"`` for form fields with ``?type=body`` (contract, B1).
        boundary: a random string that the data can't hold.

    Raises:
        ConfigurationError: an empty range, one outside of the file, or a file_id that no header can hold.
    """
    view = _validation.octets("data", data)
    # A view of items of several bytes is sent as the bytes that it is made of.
    flat = data if isinstance(data, bytes) else view
    last = check_range(ticket, first, len(view))
    naming: tuple[tuple[str, str], ...] = (
        ("file_id", _validation.file_id(ticket.file_id)),
        ("file_size", str(ticket.file_size)),
        ("range", f"{first}-{last}"),
    )
    in_body = parameters == "body"
    fields = naming if in_body else ()
    query = (("type", "body"),) if in_body else ()
    headers = (*(() if in_body else naming), ("Content-Type", content_type(boundary)))
    request = Request("POST", ticket.upload_url, headers=headers, query=query, body=form(boundary, fields, flat))

    def decode(answer: Answer) -> RangeAnswer:
        reply = read(answer, if_too_large=_TOO_LARGE)
        expect_success(reply, {**_RANGE_CODES, **_FORM_LOST} if in_body else _RANGE_CODES)
        # At the top level as documented; in the envelope if the service should ever wrap it.
        stored = structure({**reply.data, **reply.fields}, _RangeFields, answer)
        return RangeAnswer(stored.range_md5.lower(), stored.file_range_accepted, stored.file_id)

    return Call("upload_chunk", request, decode, file_id=ticket.file_id)


def finish_upload(endpoints: Endpoints, file_id: str, *, parameters: str = "headers", boundary: str = "") -> Call[None]:
    """Section 1.3. Not repeatable blindly: if the answer is lost, the status tells whether it had its effect.

    Args:
        endpoints: where the service lives.
        file_id: the upload.
        parameters: ``"headers"`` or ``"body"``, as for `request_upload`.
        boundary: for the form.
    """
    fields = _ending(("range_finished", "true"), file_id)
    if parameters == "body":
        request, done = _form(endpoints, "upload", fields, boundary), _done({**FAILED, **_FORM_LOST}, _FINISHED)
    else:
        request = Request("POST", f"{endpoints.upload}/uploadfinish", headers=fields)
        done = _done(_TOKEN_IN_HEADER, _FINISHED)
    return Call("finish_upload", request, done, repeatable=False, file_id=file_id)


def cancel_upload(endpoints: Endpoints, file_id: str, *, parameters: str = "headers", boundary: str = "") -> Call[None]:
    """Section 1.4; the arguments are those of `finish_upload`."""
    fields = _ending(("status", "2"), file_id)
    if parameters == "body":
        request, done = _form(endpoints, "cancelupload", fields, boundary), _done({**FAILED, **_FORM_LOST})
    else:
        request, done = Request("POST", f"{endpoints.upload}/cancelupload", headers=fields), _done(_TOKEN_IN_HEADER)
    return Call("cancel_upload", request, done, file_id=file_id)


def set_metadata(endpoints: Endpoints, file_id: str, metadata: Metadata) -> Call[None]:
    """Section 1.5. To be sent before `finish_upload`, or the video never enters production."""
    query: Fields = (
        ("access_token", SecretName.ACCESS_TOKEN),
        ("file_id", _validation.file_id(file_id)),
        ("file_name", metadata.name),
        ("description", metadata.description),
    )
    if metadata.tags:
        query += (("tags", ",".join(metadata.tags)),)
    if metadata.category is not None:
        query += (("file_type", str(int(metadata.category))),)
    request = Request("GET", f"{endpoints.metadata or endpoints.api}/api/file/info", query=query)
    return Call("set_metadata", request, _done(FAILED), file_id=file_id)


def _ending(word: tuple[str, str], file_id: str) -> Fields:
    return (word, ("access_token", SecretName.ACCESS_TOKEN), ("file_id", _validation.file_id(file_id)))


def _form(endpoints: Endpoints, path: str, fields: Fields, boundary: str) -> Request:
    """Parameters in the body (the document's "body 参数支持"), to the one host that may get the token this way."""
    return Request(
        "POST",
        f"{endpoints.forms}/{path}",
        headers=(("Content-Type", content_type(boundary)),),
        query=(("type", "body"),),
        form=fields,
        boundary=boundary,
    )


def _done(meanings: Mapping[str, Meaning], success: frozenset[str] = frozenset({SUCCESS})) -> Callable[[Answer], None]:
    """How to read an answer that is a code and nothing more."""

    def decode(answer: Answer) -> None:
        expect_success(read(answer), meanings, success=success)

    return decode


def metadata_digest(metadata: Metadata) -> str:
    """A short name for what `set_metadata` says, the same in every process: equal metadata, equal digest."""
    said = [metadata.name, metadata.description, metadata.tags, metadata.category]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()

"""Answers as values, in the documented or the loose style, and putting them on the wire with flow control."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Self, cast

import attrs
from starlette.types import Send

from .contract import Code, LostFileId, Operation, Refusal

#: Size of the pieces in which an oversized answer is sent.
PIECE = 64 * 1024

#: The service's answers are declared as text, whatever their body. Nothing may take them for a page: they quote.
TEXT: Final[Mapping[str, str]] = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


class Severed(Exception):  # noqa: N818 - an end of a request, not a fault of the program
    """The connection is to be closed without the rest of an answer."""


@attrs.define
class Reply:
    """An answer. `length` is the body's, in bytes, or None where it is not announced; it is cut after `cut` bytes."""

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict[str, str])
    length: int | None = None
    code: str | None = None
    cut: int | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.body, bytes):
            self.length = len(self.body)

    def add_headers(self, headers: Mapping[str, str]) -> Self:
        """Add headers; they replace those of the same name."""
        self.headers.update({name.lower(): value for name, value in headers.items()})
        return self

    def default_headers(self, headers: Mapping[str, str]) -> Self:
        """Add headers that it does not have yet."""
        for name, value in headers.items():
            self.headers.setdefault(name, value)
        return self

    def cut_after(self, count: int) -> Self:
        """Break the body off after so many bytes."""
        self.cut = count
        return self


def json_reply(payload: Mapping[str, Any], status: int = 200) -> Reply:
    """A JSON answer."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    code = payload.get("code")
    return Reply(
        text.encode("utf-8", "replace"),
        status,
        dict(TEXT),
        code=code if isinstance(code, str) else None,
    )


def unknown_file_reply() -> Reply:
    """What a request gets whose file_id is in none of the places that are read, to the letter."""
    return Reply(b'{"msg": "can not find file id None", "code": "A00005"}', headers=dict(TEXT), code=Code.BAD_FILE_ID)


def refusal_reply(refusal: Refusal) -> Reply:
    """A service code other than success. The service answers those with HTTP status 200."""
    if isinstance(refusal, LostFileId):
        return unknown_file_reply()
    data = {} if refusal.data is None else {"data": refusal.data}
    words = {"msg": refusal.message} if refusal.message else {}
    return json_reply({"code": refusal.code, **data, **words})


def loosen(operation: Operation, payload: Mapping[str, Any]) -> Reply:
    """The same answer with oddities that were seen on the wire; a tolerant client reads the same out of it."""
    loose: dict[str, Any] = dict(payload)
    if operation is Operation.AUTHORIZE and loose.get("code") == Code.SUCCESS:
        loose["code"] = "A0000"
    if operation is Operation.REFRESH_TOKEN and "access_token" in loose:
        loose = {"code": Code.SUCCESS, "data": {f"{name} ": value for name, value in loose.items()}}
    if "file_range_accepted" in loose:
        loose["file_range_accepted"] = str(loose["file_range_accepted"])
    if operation is Operation.LIST_VIDEOS and "data" in loose:
        loose["data"] = [
            {key: f" {value} " if key in ("img", "pageUrl") else value for key, value in row.items()}
            for row in cast("list[dict[str, Any]]", loose["data"])
        ]
    spaced = {f"{key} " if key in ("code", "count", "data") else key: value for key, value in loose.items()}
    reply = json_reply(spaced)
    body = b"callback(" + cast("bytes", reply.body) + b");"
    return Reply(body, headers=dict(TEXT), code=payload.get("code"))


def with_callback(reply: Reply, name: str) -> Reply:
    """The answer as a call of the function `name` (JSONP), for pages that ask with a script element."""
    return Reply(name.encode() + b"(" + cast("bytes", reply.body) + b");", headers=reply.headers, code=reply.code)


async def oversized(size: int) -> AsyncIterator[bytes]:
    """A JSON text of `size` bytes, made as it goes."""
    head, tail = b'{"code":"A00000","msg":"', b'"}'
    yield head[:size]
    left = size - len(head) - len(tail)
    while left > 0:
        yield b"x" * min(PIECE, left)
        left -= PIECE
    if size >= len(head) + len(tail):
        yield tail


async def send_reply(reply: Reply, send: Send, *, head_only: bool = False) -> None:
    """Send an answer.

    Raises:
        Severed: the answer was cut, as it was to be.
    """
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    if reply.length is not None and reply.status not in (204, 304):
        headers.append((b"content-length", str(reply.length).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if not head_only:
        await _send_body(reply, send)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_body(reply: Reply, send: Send) -> None:
    left = reply.cut
    async with aclosing(_pieces(reply.body)) as pieces:
        async for piece in pieces:
            if left is not None:
                piece, left = piece[:left], left - len(piece)  # noqa: PLW2901
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if left is not None and left <= 0:
                raise Severed
    if reply.cut is not None:
        # Shorter than the cut: what was to be broken off still is.
        raise Severed


async def _pieces(body: bytes | AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if isinstance(body, bytes):
        yield body
        return
    async for piece in body:
        yield piece

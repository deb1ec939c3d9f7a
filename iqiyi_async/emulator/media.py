"""Serving videos: the second exchange, and the bytes as a plain media server gives them.

What belongs here: play addresses, byte ranges, the pictures and the page that full status names. What must not: who
may see which video; a signed address is enough, as with a content network.

The emulator does not transcode: every quality, of every format, is the uploaded file as it is.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from typing import TYPE_CHECKING

import attrs

from .calls import Call
from .contract import FILE_TYPES, FileState
from .links import Link, LinkError
from .replies import Reply, json_reply

if TYPE_CHECKING:
    from .emulator import Emulator
    from .state import FileRecord

_BYTES = re.compile(r"bytes=([0-9]{0,16})-([0-9]{0,16})")


async def resolve(emulator: Emulator, call: Call) -> Reply:
    """The second exchange: from a play URL to the real URL, in a line of JavaScript."""
    try:
        link, record = _lookup(emulator, call)
    except LinkError as error:
        return _no(error)
    real = emulator.links.real_url(call.base, link, record.file_type)
    answer = json_reply({"code": "A00000", "data": {"l": real}})
    assert isinstance(answer.body, bytes)
    return Reply(b"var videoUrl=" + answer.body, headers={"content-type": "text/javascript"}, code="A00000")


async def play(emulator: Emulator, call: Call) -> Reply:
    """The bytes, whole or one range of them."""
    try:
        link, record = _lookup(emulator, call)
    except LinkError as error:
        return _no(error)
    headers = {"content-type": FILE_TYPES[record.file_type], "accept-ranges": "bytes"}
    wanted = _wanted(call.request.headers.get("range", ""), record.size)
    if wanted is None:
        return Reply(b"", 416, {**headers, "content-range": f"bytes */{record.size}"})
    first, end, partial = wanted
    if partial:
        headers["content-range"] = f"bytes {first}-{end - 1}/{record.size}"
    if first == 0 and call.request.method == "GET":
        emulator.state.put_file(attrs.evolve(record, plays=record.plays + 1))
    held = emulator.state.extents[link.file_id]
    return Reply(
        emulator.storage.stream(link.file_id, held, first, end), 206 if partial else 200, headers, length=end - first
    )


def _lookup(emulator: Emulator, call: Call) -> tuple[Link, FileRecord]:
    link = emulator.links.check(call.request.scope["path"], call.query)
    emulator.requests.note(call.number, file_id=link.file_id)
    record = emulator.state.files.get(link.file_id)
    if record is None or emulator.service.state_of(record) is not FileState.PUBLISHED:
        raise LinkError(404, "the video is gone")
    return link, record


def _no(error: LinkError) -> Reply:
    return json_reply({"code": "Q00001", "msg": error.message}, error.status)


def _wanted(header: str, size: int) -> tuple[int, int, bool] | None:
    """The bytes a Range header asks for: first, end, and whether it is a range at all.

    What is not a single proper range asks for everything (RFC 9110, 14.2); None is one that cannot be satisfied.
    """
    match = _BYTES.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size, False
    if not match[1]:
        count = min(int(match[2]), size)
        return (size - count, size, True) if count else None
    first, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < first:
        return 0, size, False
    return (first, end, True) if first < size else None


def _png(width: int, height: int) -> bytes:
    """A plain picture."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = (b"\0" + b"\x55" * ((width + 7) // 8)) * height
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", zlib.compress(rows)) + block(b"IEND", b"")


PICTURE = _png(160, 90)


def picture() -> Reply:
    """What `img` and `thumbnail` lead to."""
    return Reply(PICTURE, headers={"content-type": "image/png"})


def page(emulator: Emulator, base: str, file_id: str) -> Reply:
    """What `pageUrl` leads to: a page that plays the video."""
    record = emulator.state.files.get(file_id)
    if record is None or emulator.service.state_of(record) is not FileState.PUBLISHED:
        return json_reply({"code": "A00003", "msg": "no such video"}, 404)
    source = emulator.links.real_url(base, Link(file_id, "mp4", "2"), record.file_type)
    title = html.escape(record.name or file_id)
    text = f'<!doctype html><title>{title}</title><video controls src="{html.escape(source)}"></video>\n'
    return Reply(text.encode("utf-8", "replace"), headers={"content-type": "text/html; charset=utf-8"})

"""Serving videos: the second exchange, and the bytes as a plain media server gives them.

A signed address is enough to get them, as with a content network. The emulator does not transcode: every quality, of
every format, is the uploaded file as it is.
"""

from __future__ import annotations

import html
import re
import struct
import zlib

import attrs

from .calls import Call
from .contract import MEDIA_TYPES
from .core import EmulatorCore
from .links import Link, LinkError
from .replies import Reply, json_reply
from .state import FileRecord

_BYTES = re.compile(r"bytes=([0-9]{0,16})-([0-9]{0,16})")


async def resolve(core: EmulatorCore, call: Call) -> Reply:
    """The second exchange: from a play URL to the real URL, in a line of JavaScript."""
    try:
        link, record = _lookup(core, call)
    except LinkError as error:
        return _no(error)
    # The other fields are there as they are in the service's answers; what they say is not known.
    data = {"l": core.links.real_url(call.base, link, record.file_type), "t": "", "s": "", "z": "", "h": "", "e": ""}
    answer = json_reply({"code": "A00000", "data": data})
    assert isinstance(answer.body, bytes)
    return Reply(b"var videoUrl=" + answer.body + b";", headers=answer.headers, code="A00000")


async def play(core: EmulatorCore, call: Call) -> Reply:
    """The bytes, whole or one range of them, or a playlist that names them."""
    try:
        link, record = _lookup(core, call)
    except LinkError as error:
        return _no(error)
    if link.kind == "m3u8" and not link.is_segment:
        return _playlist(core.links.segment_url(call.base, link, record.file_type), record.duration)
    media_type = MEDIA_TYPES.get(record.file_type, "application/octet-stream")
    headers = {"content-type": media_type, "x-content-type-options": "nosniff", "accept-ranges": "bytes"}
    wanted = _wanted(call.request.headers.get("range", ""), record.size)
    if wanted is None:
        return Reply(b"", 416, {**headers, "content-range": f"bytes */{record.size}"})
    first, end, partial = wanted
    if partial:
        headers["content-range"] = f"bytes {first}-{end - 1}/{record.size}"
    if first == 0 and call.request.method == "GET":
        core.state.put_file(attrs.evolve(record, plays=record.plays + 1))
    held = core.state.intervals[link.file_id]
    stream = core.storage.stream(link.file_id, held, first, end)
    return Reply(stream, 206 if partial else 200, headers, length=end - first)


def _playlist(segment: str, duration: int) -> Reply:
    """A playlist of one segment (RFC 8216). A video whose length is not known is said to run for a second."""
    seconds = max(duration, 1)
    lines = (
        *("#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-PLAYLIST-TYPE:VOD", f"#EXT-X-TARGETDURATION:{seconds}"),
        *("#EXT-X-MEDIA-SEQUENCE:0", f"#EXTINF:{seconds:.3f},", segment, "#EXT-X-ENDLIST", ""),
    )
    return Reply("\n".join(lines).encode(), headers={"content-type": "application/vnd.apple.mpegurl"})


def _lookup(core: EmulatorCore, call: Call) -> tuple[Link, FileRecord]:
    link = core.links.check(call.path, call.query)
    core.requests.note(call.number, file_id=link.file_id)
    record = core.state.files.get(link.file_id)
    if record is None or not core.service.is_listed(record):
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


def page(core: EmulatorCore, base: str, file_id: str) -> Reply:
    """What `pageUrl` leads to: a page that plays the video."""
    record = core.state.files.get(file_id)
    if record is None or not core.service.is_listed(record):
        return json_reply({"code": "A00003", "msg": "no such video"}, 404)
    source = core.links.real_url(base, Link(file_id, "mp4", "2"), record.file_type)
    title = html.escape(record.name or file_id)
    text = f'<!doctype html><title>{title}</title><video controls src="{html.escape(source)}"></video>\n'
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'; media-src *; frame-ancestors *",
    }
    return Reply(text.encode("utf-8", "replace"), headers=headers)

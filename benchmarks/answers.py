"""What the sink answers to the operations of the service: the words of the contract, made as cheaply as can be.

Pure: no sockets, no clock. The sink asks for the answer of a request whose body has arrived.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from hashlib import md5

from .content import Content

_RANGE_HEADER = re.compile(rb"\r\nrange: *(\d+)-(\d+)", re.IGNORECASE)
_RANGE_FIELD = re.compile(rb'name="range"[^\r]*\r\n(?:[^\r]+\r\n)*\r\n(\d+)-(\d+)')
_HOST = re.compile(rb"\r\nhost: *([^\r]+)")
_BOUNDARY = re.compile(rb'\r\ncontent-type: *multipart/form-data; *boundary="?([^"\r;]+)', re.IGNORECASE)
_FILE_PART = re.compile(rb'name="file"[^\r]*\r\n(?:[^\r]+\r\n)*\r\n')

_DONE = b'{"code":"A00000"}'
_TOKEN = b'"access_token":"benchmark","expires_in":864000,"refresh_token":"benchmark"'
_FIXED = {
    b"/api/file/info": _DONE,
    b"/uploadfinish": _DONE,
    b"/cancelupload": _DONE,
    b"/api/iqiyi/authorize": b'{"code":"A00000","data":{%s}}' % _TOKEN,
    b"/api/oauth2/token": b"{%s}" % _TOKEN,
    b"/api/file/fullStatus": b'{"code":"A00000","data":{"urllist":{"mp4":{},"m3u8":{}}}}',
}


@dataclass
class Counts:
    """What has arrived since the last reset. `chunk_bytes` are those of the ranges, without the form around them."""

    opened: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    described: int = 0
    finished: int = 0
    cancelled: int = 0
    refused: int = 0
    stalled: int = 0
    wrong: int = 0
    connections: int = 0


class Service:
    """The operations.

    Args:
        content: of the files that will come; the answers to ranges are known from it.
    """

    def __init__(self, content: Content) -> None:
        self.counts = Counts()
        self._content = content

    def reset(self) -> None:
        """Count from zero again."""
        self.counts = Counts()

    def report(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self.counts)

    def answer(self, path: bytes, head: bytes, body: bytes | bytearray | None) -> bytes | None:
        """The JSON answer to a request, or None if there is no such operation.

        Args:
            path: of the request, without its query.
            head: request line and headers in lower case, up to the empty line.
            body: its first bytes if the head does not name the range, all of it if it is to be checked, or None if it
                was thrown away.
        """
        if path == b"/upload":
            return self._range(head, body)
        if path == b"/openupload":
            self.counts.opened += 1
            # The address that the client itself uses, so that ranges take the same link as the rest.
            host = _HOST.search(head)
            return b'{"code":"A00000","data":{"file_id":"f%08d","upload_url":"http://%s/upload"}}' % (
                self.counts.opened,
                host[1] if host else b"",
            )
        self.counts.described += path == b"/api/file/info"
        self.counts.finished += path == b"/uploadfinish"
        self.counts.cancelled += path == b"/cancelupload"
        return _FIXED.get(path)

    def _range(self, head: bytes, body: bytes | bytearray | None) -> bytes:
        named = _RANGE_HEADER.search(head) or (_RANGE_FIELD.search(body) if body else None)
        if named is None:
            self.counts.refused += 1
            return b'{"code":"A00010","msg":"no range"}'
        first, last = int(named[1]), int(named[2])
        length = last - first + 1
        digest = self._content.md5(first, length)
        self.counts.chunks += 1
        self.counts.chunk_bytes += length
        return b'{"code":"A00000","range_md5":"%s","file_range_accepted":%d}' % (digest.encode(), length)

    def check(self, head: bytes, body: bytes | bytearray) -> None:
        """Hash what really came and count it as wrong if it is not what the range should hold."""
        named = _RANGE_HEADER.search(head) or _RANGE_FIELD.search(body)
        if named is None:
            return
        first, last = int(named[1]), int(named[2])
        data = payload(head, body)
        expected = self._content.md5(first, last - first + 1)
        self.counts.wrong += data is None or md5(data, usedforsecurity=False).hexdigest() != expected


def payload(head: bytes, body: bytes | bytearray) -> bytes | None:
    """The bytes of the range in a body: the file part of a form, or all of it; None if the form is broken.

    Args:
        head: as it came, since a boundary is told by its case.
        body: the whole body.
    """
    boundary = _BOUNDARY.search(head)
    if boundary is None:
        return bytes(body)
    part = _FILE_PART.search(body)
    end = body.rfind(b"\r\n--" + boundary[1] + b"--")
    return None if part is None or end < part.end() else bytes(body[part.end() : end])

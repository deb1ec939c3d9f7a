"""The floor: blocking sockets in threads, one buffer each, the request written by hand.

It reads into the buffer, hashes it and sends it with one system call; nothing is copied in user space. It knows just
enough HTTP for the sink.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from .base import Connection, ThreadedByHand
from .calls import FORM_HEAD, FORM_TAIL, FORM_TYPE, Headers, Json, WrongAnswerError, check_range

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class RawConnection(Connection):
    """One socket and one buffer."""

    def __init__(self, url: str, chunk_size: int) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = memoryview(bytearray(chunk_size))

    def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """See the base class."""
        target = urlsplit(url).path + (f"?{urlencode(query)}" if query else "")
        self._sock.sendall(self._head(method, target, {**headers, "content-length": "0"}))
        return self._answer()

    def send_range(self, url: str, headers: Headers, file: int, first: int, length: int) -> None:
        """See the base class."""
        view = self.buffer[:length]
        if os.preadv(file, [view], first) != length:
            raise WrongAnswerError("the file is shorter than it was")
        digest = hashlib.md5(view, usedforsecurity=False).hexdigest()
        check_range(self.send_view(url, headers, view), digest, length)

    def send_view(self, url: str, headers: Headers, view: memoryview) -> Json:
        """Send bytes as a multipart form; the answer decoded."""
        size = str(len(FORM_HEAD) + len(view) + len(FORM_TAIL))
        head = self._head("POST", urlsplit(url).path, {**headers, "content-type": FORM_TYPE, "content-length": size})
        self._send_all([memoryview(head + FORM_HEAD), view, memoryview(FORM_TAIL)])
        return self._answer()

    def close(self) -> None:
        """See the base class."""
        self._sock.close()

    def _head(self, method: str, target: str, headers: Headers) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target} HTTP/1.1\r\nhost: {self._host}\r\n{lines}\r\n".encode()

    def _send_all(self, pieces: list[memoryview]) -> None:
        while pieces:
            sent = self._sock.sendmsg(pieces)
            while pieces and sent >= len(pieces[0]):
                sent -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][sent:]

    def _answer(self) -> Json:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + self._length(data):
            more = self._sock.recv(4096)
            if not more:
                raise WrongAnswerError("the sink hung up")
            data += more
        answer: Json = json.loads(data[end + 4 :])
        return answer

    def _length(self, data: bytes) -> int:
        length = _LENGTH.search(data)
        if length is None:
            raise WrongAnswerError("an answer without a length")
        return int(length[1])


class RawThreads(ThreadedByHand):
    """See the module."""

    def connect(self) -> RawConnection:
        """See the base class."""
        return RawConnection(self.task.url, self.task.chunk_size)


COMPETITOR = RawThreads

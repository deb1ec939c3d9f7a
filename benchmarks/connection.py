"""One keep-alive connection of the sink: a head, then so many bytes of body, then an answer, and again.

What belongs here: HTTP framing and when to stall. What must not: what an answer says.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .content import KIB

if TYPE_CHECKING:
    from .sink import Sink

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_LINUX = sys.platform == "linux"
#: Bytes of a body that are kept when the head does not name the range: enough for the form fields before the file.
_BODY_HEAD = 4 * KIB
_RECEIVE = 64 * KIB
_LONGEST_HEAD = 16 * KIB


class Connection:
    """See the module. Everything happens on the sink's one thread."""

    def __init__(self, sink: Sink, sock: socket.socket) -> None:
        self._sink = sink
        self._sock = sock
        self._buffer = bytearray()
        self._head = b""
        self._raw_head = b""
        self._kept = bytearray()
        self._keep = 0
        self._remaining = 0
        self._in_body = False
        self._stall: str | None = None
        self._stall_below = 0

    def readable(self) -> None:
        """Take what has come."""
        try:
            if self._in_body and self._keep == 0:
                self._drain()
            else:
                data = self._sock.recv(_RECEIVE)
                if not data:
                    self._close()
                    return
                self._buffer += data
                self._parse()
        except BlockingIOError:
            return
        except ConnectionError:
            self._close()

    def _drain(self) -> None:
        scratch = self._sink.scratch
        flag = socket.MSG_TRUNC if _LINUX else 0
        taken = self._sock.recv_into(scratch, min(self._remaining, len(scratch)), flag)
        if not taken:
            self._close()
            return
        self._took(taken)

    def _parse(self) -> None:
        while self._buffer:
            if not self._in_body:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > _LONGEST_HEAD:
                        self._close()
                    return
                self._begin(bytes(self._buffer[: end + 2]))
                del self._buffer[: end + 4]
            piece = self._buffer[: self._remaining]
            del self._buffer[: self._remaining]
            keep = piece[: self._keep]
            self._kept += keep
            self._keep -= len(keep)
            if not self._took(len(piece)):
                return

    def _begin(self, raw_head: bytes) -> None:
        self._raw_head, self._head = raw_head, raw_head.lower()
        length = _CONTENT_LENGTH.search(self._head)
        self._remaining = int(length[1]) if length else 0
        self._in_body = True
        self._kept.clear()
        is_chunk = self._target()[0] == b"/upload"
        if self._sink.check:
            self._keep = self._remaining
        else:
            self._keep = min(_BODY_HEAD, self._remaining) if is_chunk and b"\r\nrange:" not in self._head else 0
        if b"\r\nexpect: 100-continue" in self._head:
            self._sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._stall = None
        if is_chunk:
            self._stall = self._sink.plan.at(self._sink.chunks_begun)
            self._sink.chunks_begun += 1
            self._stall_below = self._remaining // 2

    def _took(self, count: int) -> bool:
        """Account for bytes of the body; False when nothing more may be read for now."""
        self._remaining -= count
        if self._stall == "body" and self._remaining <= self._stall_below:
            self._stall = None
            self._pause(self._sink.plan.seconds, self._resume)
            return False
        if self._remaining:
            return True
        self._in_body = False
        if self._stall == "answer":
            self._pause(self._sink.plan.seconds, self._answer_late)
            return False
        if self._sink.latency:
            self._sink.later(self._sink.latency, self._answer)
            return True
        self._answer()
        return True

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._sink.service.counts.stalled += 1
        self._sink.selector.unregister(self._sock)
        self._sink.later(seconds, then)

    def _resume(self) -> None:
        self._sink.selector.register(self._sock, selectors.EVENT_READ, self.readable)
        if not self._remaining:
            self._in_body = False
            self._answer()
        self._parse()

    def _answer_late(self) -> None:
        self._sink.selector.register(self._sock, selectors.EVENT_READ, self.readable)
        self._answer()
        self._parse()

    def _target(self) -> tuple[bytes, bytes]:
        path, _, query = self._raw_head.split(b" ", 2)[1].partition(b"?")
        return path, query

    def _answer(self) -> None:
        path, query = self._target()
        service = self._sink.service
        if path.startswith(b"/__sink__/"):
            content: bytes | None = self._sink.control(path, query)
        else:
            if self._sink.check and path == b"/upload":
                service.check(self._raw_head, self._kept)
            content = service.answer(path, self._head, self._kept)
        status = b"200 OK" if content is not None else b"404 Not Found"
        content = content or b"{}"
        try:
            self._sock.send(
                b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (status, len(content), content)
            )
        except OSError:
            # The client has given this request up, which is its right.
            self._close()

    def _close(self) -> None:
        if self._sock.fileno() >= 0:
            # A stalled connection is not registered.
            with contextlib.suppress(KeyError):
                self._sink.selector.unregister(self._sock)
            self._sock.close()

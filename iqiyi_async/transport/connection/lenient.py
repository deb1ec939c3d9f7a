"""Answers that llhttp refuses although curl and others read them: heads made tidy, and the frames of a chunked body."""

from __future__ import annotations

import re

#: The size of a chunk, and extensions, which say nothing (RFC 9112, 7.1.1).
_CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
#: A header, or what continues the one before.
_HEADER = re.compile(rb"(?:[ \t]|[!-9;-~]+[ \t]*:)[^\r]*")
_INTERIM = re.compile(rb"HTTP/\S+ +1(?!01)\d\d\b")


class ChunkedBody:
    """A chunked body (RFC 9112, 7.1) whose lines may end with LF alone and whose trailers may be anything.

    Attributes:
        content: what the chunks hold.
        complete: whether the last chunk and the empty line behind the trailers have come.
    """

    def __init__(self) -> None:
        self.content: bytearray = bytearray()
        self.complete: bool = False
        self._raw = bytearray()
        self._left = 0
        self._in_trailers = False
        self._behind_chunk = False

    @property
    def has_more(self) -> bool:
        """Whether bytes have come behind its end."""
        return bool(self._raw)

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes that have come.

        Raises:
            ValueError: they are no chunks.
        """
        self._raw += data
        while not self.complete and self._step():
            pass

    def _step(self) -> bool:
        """Read a line or a part of a chunk; False if more has to come for it."""
        if self._left:
            part = self._raw[: self._left]
            del self._raw[: len(part)]
            self.content += part
            self._left -= len(part)
            self._behind_chunk = self._left == 0
            return bool(part)
        end = self._raw.find(b"\n")
        if end < 0:
            return False
        line = bytes(self._raw[:end])
        del self._raw[: end + 1]
        if self._in_trailers:
            self.complete = not line.strip()
        elif self._behind_chunk:
            if line not in (b"", b"\r"):
                raise ValueError("a chunk is longer than it says")
            self._behind_chunk = False
        else:
            size = _CHUNK_LINE.fullmatch(line)
            if size is None:
                raise ValueError("the size of a chunk is no number")
            self._left = int(size[1], 16)
            self._in_trailers = self._left == 0
        return True


def cut_head(raw: bytes) -> tuple[bytes, bytes] | None:
    """The head of an answer and what has come behind it, without interim heads (RFC 9110, 15.2); None while the head
    has no end.

    Raises:
        ValueError: it is no HTTP.
    """
    while True:
        if not (raw.startswith(b"HTTP/") or b"HTTP/".startswith(raw)):
            raise ValueError("what came is not HTTP")
        found = _END_OF_HEAD.search(raw)
        if found is None:
            return None
        head, rest = raw[: found.start()], raw[found.end() :]
        if not _INTERIM.match(head):
            return head, rest
        raw = rest


def tidy(raw: bytes) -> bytes | None:
    """An answer whose length is given in a way that curl and others accept, with a head as llhttp wants it.

    ``Transfer-Encoding: identity`` says nothing and goes; a length that is given twice, both times the same, is given
    once; beside ``chunked`` a length does not count (RFC 9112, 6.3). Lines that are no headers go, and interim
    heads. None while the head has no end.

    Raises:
        ValueError: it is no HTTP, or its lengths differ.
    """
    cut = cut_head(raw)
    if cut is None:
        return None
    head, rest = cut
    first, *lines = re.split(rb"\r?\n", head)
    kept: list[bytes] = [b" ".join(first.split(None, 2))]
    lengths: set[bytes] = set()
    chunked = any(re.match(rb"transfer-encoding\s*:.*chunked", line, re.IGNORECASE) for line in lines)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            lengths.update(each.strip().removeprefix(b"+") for each in value.split(b","))
        elif name.strip().lower() == b"transfer-encoding" and value.strip().lower() == b"identity":
            continue
        elif _HEADER.fullmatch(line):
            kept.append(line)
    if len(lengths) > 1:
        raise ValueError("the lengths of the answer differ")
    if not chunked:
        kept += [b"Content-Length: " + length for length in lengths]
    return b"\r\n".join(kept) + b"\r\n\r\n" + rest

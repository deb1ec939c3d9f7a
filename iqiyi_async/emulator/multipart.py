"""Reading the body of an upload as it comes: form fields first, then the bytes of the one file part, or bare bytes.

The body is taken apart without ever being held. The document lets a client leave the boundary out of its headers (the
server is to find out by itself), so a body that opens like multipart is read as such. Anything else that is not
declared as a form is bare bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header

from .contract import Code, Refusal
from .forms import MAX_FIELD_BYTES, MAX_FIELDS, Form

#: A boundary has 70 characters at most (RFC 2046), so an opening line and a header's name fit into this.
_SNIFF = 160
_OPENING = re.compile(rb"(?:\r\n)*--([0-9A-Za-z'()+_,./:=? -]{1,70})\r\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[A-Za-z-]+:")

Gate = Callable[[int], Awaitable[None]]


class UploadBody:
    """One request body.

    Args:
        stream: the pieces as they arrive.
        content_type: the request's Content-Type, or nothing.
        lower_case: whether part headers may be spelt in lower case, as they may with `?type=body` only.
    """

    def __init__(self, stream: AsyncIterator[bytes], content_type: str, *, lower_case: bool = True) -> None:
        self._stream = stream
        self._media_type, options = parse_options_header(content_type or None)
        self._boundary = options.get(b"boundary")
        self._lower_case = lower_case
        self._form: Form | None = None
        self._ready: list[memoryview] = []
        self._opened = False
        self._ended = False
        self._gate: Gate | None = None
        self.received: int = 0
        self.has_file: bool = False

    @property
    def is_form(self) -> bool:
        """Whether it is multipart; known once reading has begun."""
        return self._form is not None

    @property
    def field_names(self) -> frozenset[str]:
        """The names of all form fields read so far, those behind the file part too."""
        return frozenset(self._form.names) if self._form is not None else frozenset()

    def watch(self, gate: Gate) -> None:
        """Have `gate` awaited with the number of bytes received, after each piece."""
        self._gate = gate

    async def fields(self) -> dict[str, str]:
        """Read up to the file part, or to the end where there is none; returns the form fields before it.

        Raises:
            Refusal: A00010 for a body that is no proper form; A00005 for part headers in the wrong spelling.
        """
        if self._media_type == b"application/x-www-form-urlencoded" and not self._opened:
            return await self._urlencoded()
        if not self._opened:
            await self._open()
        while self._form is not None and not self.has_file and await self._pull():
            pass
        if self._form is None:
            return {}
        if not self.has_file:
            self._form.end_fields()
        return dict(self._form.fields)

    async def _urlencoded(self) -> dict[str, str]:
        self._opened = True
        while await self._pull():
            if self.received > MAX_FIELDS * MAX_FIELD_BYTES:
                raise Refusal(Code.BAD_PARAMETER, f"the form is longer than {MAX_FIELDS * MAX_FIELD_BYTES} bytes")
        text = b"".join(self._ready).decode("utf-8", "replace")
        self._ready = []
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise Refusal(Code.BAD_PARAMETER, f"there may be {MAX_FIELDS} form fields at most") from None

    async def data(self) -> AsyncIterator[memoryview]:
        """The bytes of the chunk, in the pieces in which they come.

        Raises:
            Refusal: A00010 for a body that is no proper form.
        """
        if not self._opened:
            await self._open()
        while True:
            ready, self._ready = self._ready, []
            for piece in ready:
                yield piece
            if not await self._pull():
                break
        for piece in self._ready:
            yield piece
        if self._form is not None:
            self._form.check_whole()

    async def drain(self, most: int) -> bool:
        """Read the rest and throw it away; False if there is more than `most` bytes."""
        self._form, self._ready, self._opened, self._gate, drained = None, [], True, None, 0
        while drained <= most:
            before = self.received
            if not await self._pull():
                return True
            self._ready = []
            drained += self.received - before
        return False

    async def _open(self) -> None:
        """Find out which kind of body this is, from its first bytes where the headers don't say."""
        self._opened = True
        boundary = self._boundary if self._media_type == b"multipart/form-data" else None
        if boundary is None:
            opening = _OPENING.match(await self._head())
            boundary = opening[1] if opening is not None else None
        if boundary is None and self._media_type == b"multipart/form-data":
            raise Refusal(Code.BAD_PARAMETER, "the multipart body does not open with a boundary")
        head, self._ready = self._ready, []
        if boundary is None:
            self._ready = head
            self.has_file = bool(head)
            return
        self._form = Form(boundary, lower_case=self._lower_case)
        for piece in head:
            self._feed(bytes(piece))

    async def _head(self) -> bytes:
        """The first bytes, which also stay in the queue."""
        while sum(map(len, self._ready)) < _SNIFF and await self._pull():
            pass
        return b"".join(self._ready)[:_SNIFF]

    async def _pull(self) -> bool:
        """Take in the next piece; False at the end of the body."""
        if self._ended:
            return False
        try:
            piece = await anext(self._stream)
        except StopAsyncIteration:
            self._ended = True
            return False
        self.received += len(piece)
        if self._gate is not None:
            await self._gate(self.received)
        if self._form is not None:
            self._feed(piece)
        elif piece:
            self._ready.append(memoryview(piece))
        return True

    def _feed(self, piece: bytes) -> None:
        assert self._form is not None
        self._form.feed(piece)
        self._ready += self._form.take()
        self.has_file = self._form.has_file

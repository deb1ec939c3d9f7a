"""Reading the body of an upload as it comes: form fields first, then the bytes of the one file part, or bare bytes.

What belongs here: taking a body apart without ever holding it. What must not: what the fields mean.

The document lets a client leave the boundary out of its headers (the server is to find out by itself), so a body that
opens like multipart is read as such. Anything else that is not declared as multipart is bare bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .contract import Code, Refusal

#: Form fields are ids and numbers; more or longer ones are no upload.
MAX_FIELDS = 32
MAX_FIELD_BYTES = 4096
#: A boundary has 70 characters at most (RFC 2046), so an opening line and a header's name fit into this.
_SNIFF = 160
_OPENING = re.compile(rb"(?:\r\n)*--([0-9A-Za-z'()+_,./:=? -]{1,70})\r\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[A-Za-z-]+:")

Gate = Callable[[int], Awaitable[None]]


class UploadBody:
    """One request body.

    Args:
        stream: the pieces as they arrive.
        content_type: the request's Content-Type, or nothing.
    """

    def __init__(self, stream: AsyncIterator[bytes], content_type: str) -> None:
        self._stream = stream
        self._media_type, options = parse_options_header(content_type or None)
        self._boundary = options.get(b"boundary")
        self._form: _Form | None = None
        self._ready: list[memoryview] = []
        self._opened = False
        self._ended = False
        self.gate: Gate | None = None
        self.received: int = 0
        self.has_file: bool = False

    async def fields(self) -> dict[str, str]:
        """Read up to the file part, or to the end where there is none; returns the form fields before it."""
        if not self._opened:
            await self._open()
        while self._form is not None and not self.has_file and await self._pull():
            pass
        return dict(self._form.fields) if self._form is not None else {}

    async def data(self) -> AsyncIterator[memoryview]:
        """The bytes of the chunk, in the pieces in which they come.

        Raises:
            Refusal: A00010 for a body that is no proper form.
        """
        await self.fields()
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
        self._form, self._ready, self._opened, self.gate, drained = None, [], True, None, 0
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
        self._form = _Form(boundary)
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
        if self.gate is not None:
            await self.gate(self.received)
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


class _Form:
    """Callbacks of the multipart parser, gathered into fields and bytes of the file."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.has_file = False
        self._whole = False
        self._data: list[memoryview] = []
        self._name = ""
        self._value: bytearray | None = None
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise Refusal(Code.BAD_PARAMETER, "the boundary is longer than 70 characters") from None

    def feed(self, piece: bytes) -> None:
        """Parse one piece."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise Refusal(Code.BAD_PARAMETER, f"the multipart body cannot be read: {error}") from None

    def take(self) -> list[memoryview]:
        """The bytes of the file that came since the last call."""
        data, self._data = self._data, []
        return data

    def check_whole(self) -> None:
        """Refuse a body that stopped before its last boundary."""
        if not self._whole:
            raise Refusal(Code.BAD_PARAMETER, "the multipart body ends before its last boundary")

    def _on_part_begin(self) -> None:
        self._disposition = b""
        self._value = None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header = (bytearray(), bytearray())
        if name.lower() == b"content-disposition":
            self._disposition = value

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        is_file = b"filename" in options or self._name == "file"
        if is_file and self._name != "file":
            raise Refusal(Code.BAD_PARAMETER, "the file part must be named file")
        if is_file and self.has_file:
            raise Refusal(Code.BAD_PARAMETER, "there may be one file part only")
        if is_file:
            self.has_file = True
        elif not self._name or len(self.fields) >= MAX_FIELDS:
            raise Refusal(Code.BAD_PARAMETER, f"form fields need a name, and there may be {MAX_FIELDS} at most")
        else:
            self._value = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            # No copy: a view of what the connection gave.
            self._data.append(memoryview(data)[start:end])
            return
        if len(self._value) + end - start > MAX_FIELD_BYTES:
            raise Refusal(Code.BAD_PARAMETER, f"a form field is longer than {MAX_FIELD_BYTES} bytes")
        self._value += data[start:end]

    def _on_part_end(self) -> None:
        # Fields behind the file come too late to say where its bytes belong, however the body was cut into pieces.
        if self._value is not None and not self.has_file:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._whole = True

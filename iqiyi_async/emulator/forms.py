"""The parts of a multipart form, gathered from the parser's callbacks into fields and bytes of the one file."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .contract import Code, LostFileId, Refusal

#: Form fields are ids and numbers; more or longer ones are no upload.
MAX_FIELDS = 32
MAX_FIELD_BYTES = 4096
#: The names of the file part: the document's, and that of one public client.
FILE_PARTS = ("file", "upload")


class Form:
    """One multipart form, read piece by piece.

    Args:
        boundary: what its parts are separated by.
        lower_case: whether the names of part headers may be spelt in lower case.

    Raises:
        Refusal: A00010 for a boundary that is too long.
    """

    def __init__(self, boundary: bytes, *, lower_case: bool) -> None:
        self.fields: dict[str, str] = {}
        self.names: set[str] = set()
        self._lower_case = lower_case
        self.has_file: bool = False
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

    def end_fields(self) -> None:
        """Take the last field of a form without files that ends without its closing boundary."""
        if not self._whole and self._value is not None:
            self.fields[self._name] = self._value.decode("utf-8", "replace").rstrip("\r\n")

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
            if name.islower() and not self._lower_case:
                raise LostFileId
            self._disposition = value

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        is_file = b"filename" in options or self._name in FILE_PARTS
        if is_file and self._name not in FILE_PARTS:
            raise Refusal(Code.BAD_PARAMETER, "the file part must be named file")
        if is_file and self.has_file:
            raise Refusal(Code.BAD_PARAMETER, "there may be one file part only")
        if is_file:
            self.has_file = True
        elif not self._name or len(self.fields) >= MAX_FIELDS:
            raise Refusal(Code.BAD_PARAMETER, f"form fields need a name, and there may be {MAX_FIELDS} at most")
        else:
            self._value = bytearray()
            self.names.add(self._name)

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
        self._value = None

    def _on_end(self) -> None:
        self._whole = True

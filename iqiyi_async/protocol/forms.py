"""multipart/form-data as section 1.2 wants it (RFC 7578): a few short fields, then the bytes in the file part `file`.

The bytes are not copied: the body is a head, the caller's own data, and a tail. Nothing of the caller's names gets
into the head, so there is nothing that could break out of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .wire import Body


def form(boundary: str, fields: tuple[tuple[str, str], ...], data: bytes | memoryview) -> Body:
    """The pieces of a form with short fields before one file part named ``file``.

    Args:
        boundary: a random string that the data can't hold (128 bits of chance are enough).
        fields: names and values of the protocol's own alphabet.
        data: the content of the file part.
    """
    head = _fields(boundary, fields) + (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("ascii"), data, f"\r\n--{boundary}--\r\n".encode("ascii")


def fields_only(boundary: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A form of short fields and nothing else.

    A token from a store may be any text: it is the service that refuses it, not an encoder that quotes it.
    """
    return f"{_fields(boundary, fields)}--{boundary}--\r\n".encode("utf-8", "surrogatepass")


def _fields(boundary: str, fields: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )


def content_type(boundary: str) -> str:
    """The header that announces such a body."""
    return f"multipart/form-data; boundary={boundary}"

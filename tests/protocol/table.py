"""What the tables of literal samples are made of.

What belongs here: one spelling of "this goes out" and "this comes back". What must not: any knowledge of the service.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import VideoCloudError
from iqiyi_async.protocol.hosts import address, trusted_origins
from iqiyi_async.protocol.wire import Answer, Call, Request, SecretName, Secrets
from iqiyi_async.transport.request import RequestBody, build_request

ENDPOINTS = Endpoints()
TOKEN = "fc20472082dbcc21d856678b358d5f0f"
#: Secrets that need quoting in a query.
VAULT = Secrets(
    {
        SecretName.ACCESS_TOKEN: TOKEN,
        SecretName.REFRESH_TOKEN: "r3fresh+/=&?#%.0123456789",
        SecretName.APP_KEY: "key 0123456789abcdef",
        SecretName.APP_SECRET: "s3cret/+&=%25.0123456789",
    }
)
#: 2013-11-19 07:00:00 UTC
ASKED_AT = 1384844400.0


@attrs.frozen
class Sent:
    """A request as it stands on the wire."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@attrs.frozen(init=False)
class Fails:
    """The error that an answer means: its exact class, and attributes of it."""

    kind: type[VideoCloudError]
    attributes: dict[str, Any]

    def __init__(self, kind: type[VideoCloudError], **attributes: Any) -> None:
        self.__attrs_init__(kind, attributes)  # type: ignore[attr-defined]


def sent(call: Call[Any], endpoints: Endpoints = ENDPOINTS) -> Sent:
    """What a call puts on the wire, its secrets filled in."""
    method, url, headers = filled(call.request, VAULT, trusted_origins(endpoints))
    stream = build_request(call.request, VAULT, trusted_origins(endpoints)).stream
    body = stream.parts if isinstance(stream, RequestBody) else ()
    return Sent(method, url, headers, b"".join(bytes(piece) for piece in body))


def filled(request: Request, secrets: Secrets, trusted: frozenset[str]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """A request with its secrets in place, as it goes out: method, URL, and the headers that are its own."""
    made = build_request(request, secrets, trusted)
    where = address(request.url)
    headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in made.headers.raw]
    of_transport = ("Host", "User-Agent", "Accept-Encoding", "Content-Length")
    own = tuple(header for header in headers if header[0] not in of_transport)
    return made.method, f"{where.scheme}://{where.authority}{made.extensions['target'].decode('ascii')}", own


def answer(content: bytes | str, status: int = 200, retry_after: str | None = None) -> Answer:
    """An answer as it came off the wire."""
    return Answer(status, content.encode() if isinstance(content, str) else content, ASKED_AT, retry_after)


def check(call: Call[Any], came: Answer | bytes | str, expected: object) -> None:
    """Decode an answer and compare: a value with a value, an error with its class and attributes."""
    came = came if isinstance(came, Answer) else answer(came)
    if not isinstance(expected, Fails):
        assert call.decode(came) == expected
        return
    with pytest.raises(VideoCloudError) as caught:
        call.decode(came)
    error = caught.value
    assert type(error) is expected.kind, repr(error)
    for name, value in expected.attributes.items():
        assert getattr(error, name) == value, name
    assert str(error).startswith(f"{call.operation}: ")
    assert error.operation == call.operation

"""What the tables of literal samples are made of.

What belongs here: one spelling of "this goes out" and "this comes back". What must not: any knowledge of the service.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import VideoCloudError
from iqiyi_async.protocol.hosts import trusted_origins
from iqiyi_async.protocol.wire import Answer, Call, SecretName, Secrets, fill

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
    outgoing = fill(call.request, VAULT, trusted_origins(endpoints))
    return Sent(outgoing.method, outgoing.url, outgoing.headers, b"".join(bytes(piece) for piece in outgoing.body))


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

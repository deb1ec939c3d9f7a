"""Sections 2 and 3 of the document: getting an access token, and renewing it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from ..config import Endpoints
from ..errors import ResponseError, ServiceUnavailableError
from ..models import Token
from .answers import FAILED, Meaning, Reply, expect_success, read
from .fields import JsonObject, present, structure
from .wire import Answer, Call, Request, SecretName

_AUTHORIZE_CODES = {**FAILED, "A00007": Meaning(ServiceUnavailableError, "the service had a system error")}

#: The document's own example of section 2 has lost a zero.
_AUTHORIZE_SUCCESS = frozenset({"A00000", "A0000"})


@attrs.frozen
class _TokenFields:
    access_token: str = attrs.field(repr=False)
    expires_in: float
    refresh_token: str | None = attrs.field(default=None, repr=False)


def authorize(endpoints: Endpoints) -> Call[Token]:
    """Section 2: an access token for the app key and secret."""
    request = Request(
        "GET",
        f"{endpoints.api}/api/iqiyi/authorize",
        query=(("client_id", SecretName.APP_KEY), ("client_secret", SecretName.APP_SECRET)),
    )

    def decode(answer: Answer) -> Token:
        reply = read(answer, private=True)
        expect_success(reply, _AUTHORIZE_CODES, success=_AUTHORIZE_SUCCESS)
        return _token(reply, answer)

    return Call("authorize", request, decode)


def refresh(endpoints: Endpoints) -> Call[Token]:
    """Section 3: a new access token for a refresh token. Repeating it is safe only because a refused one falls back
    to `authorize`."""
    request = Request(
        "GET",
        f"{endpoints.api}/api/oauth2/token",
        query=(
            ("client_id", SecretName.APP_KEY),
            ("grant_type", "refresh_token"),
            ("refresh_token", SecretName.REFRESH_TOKEN),
        ),
    )

    def decode(answer: Answer) -> Token:
        reply = read(answer, private=True)
        if reply.code is not None:
            expect_success(reply, FAILED, success=_AUTHORIZE_SUCCESS)
        return _token(reply, answer)

    return Call("refresh_token", request, decode)


def _token(reply: Reply, answer: Answer) -> Token:
    """The token of an answer: at its top level (section 3) or in its envelope (section 2 and contract, B11)."""
    fields = reply.data if "access_token" in reply.data else reply.fields
    # The other spelling is read by one client (contract, B8).
    token = structure(JsonObject({"expires_in": fields.get("expiresIn"), **present(fields)}), _TokenFields, answer)
    # A token travels in a header: what can't stand there would end up in an error text of the HTTP library.
    unfit = any(
        not t.isascii() or not t.isprintable() or " " in t for t in (token.access_token, token.refresh_token or "")
    )
    if unfit or not token.access_token or not 0 < token.expires_in <= 10**10:
        raise ResponseError("the service gave a token that can't be used", status=answer.status)
    obtained = datetime.fromtimestamp(answer.asked_at, UTC)
    return Token(token.access_token, token.refresh_token, obtained, obtained + timedelta(seconds=token.expires_in))

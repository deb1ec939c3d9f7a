"""A token as JSON values and back.

What belongs here: what every store that writes tokens agrees on. What must not: files, servers, versions.
Reading is distrustful: what is not exactly a token is None, since a store's content may be torn or foreign.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from ..models import Token

__all__ = ["Sealed", "token_from_json", "token_to_json"]


class Sealed:
    """Something secret on its way to a disk or a server; a traceback that shows local variables doesn't show it."""

    __slots__ = ("content",)

    def __init__(self, content: Any) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "Sealed(...)"


def token_to_json(token: Token) -> dict[str, str | None]:
    """A token as a JSON object. Times are ISO 8601, with all their digits."""
    return {
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
        "obtained_at": token.obtained_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
    }


def token_from_json(value: object) -> Token | None:
    """The token of such an object, or None if it is not one."""
    if not isinstance(value, Mapping):
        return None
    fields = cast("Mapping[str, object]", value)
    access_token, refresh_token = fields.get("access_token"), fields.get("refresh_token")
    obtained_at, expires_at = _time(fields.get("obtained_at")), _time(fields.get("expires_at"))
    if not isinstance(access_token, str) or not access_token or not isinstance(refresh_token, str | None):
        return None
    if obtained_at is None or expires_at is None:
        return None
    return Token(access_token=access_token, refresh_token=refresh_token, obtained_at=obtained_at, expires_at=expires_at)


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # A time without a zone cannot be compared with the clock; no token of ours has one.
    return time if time is not None and time.tzinfo is not None else None

"""What a call, a request and an answer are, and where a secret goes.

The law of this file: a `Request` never holds a secret, only the place for one (`SecretName`), so that it can be logged,
printed and kept. `fill` puts the secrets in, at the last moment and for the service's own hosts only; what it returns
must not be kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Generic, TypeVar, cast
from urllib.parse import quote, quote_plus

import attrs

from . import hosts

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SecretName(Enum):
    """The place of a secret in a request."""

    ACCESS_TOKEN = "access token"  # noqa: S105 - a name, not a token
    REFRESH_TOKEN = "refresh token"  # noqa: S105
    APP_KEY = "app key"
    APP_SECRET = "app secret"  # noqa: S105


class Secrets:
    """Secrets on their way to their places. It prints which they are, not what they are.

    It reads like a mapping but is none: programs that report crashes look into mappings, whatever those print.
    """

    __slots__ = ("_held",)

    def __init__(self, held: Mapping[SecretName, str] | Secrets | None = None) -> None:
        self._held = {} if held is None else dict(held.items())

    def __getitem__(self, secret: SecretName) -> str:
        return self._held[secret]

    def __setitem__(self, secret: SecretName, value: str) -> None:
        self._held[secret] = value

    def keys(self) -> Iterable[SecretName]:
        """Which secrets there are; with this, ``{**vault}`` works."""
        return self._held.keys()

    def values(self) -> Iterable[str]:
        """What they are."""
        return self._held.values()

    def items(self) -> Iterable[tuple[SecretName, str]]:
        """Each with its value."""
        return self._held.items()

    def __repr__(self) -> str:
        return f"<{', '.join(secret.value for secret in self._held)}>"


Fields = tuple[tuple[str, str | SecretName], ...]
Headers = tuple[tuple[str, str], ...]
Body = tuple[bytes | memoryview, ...]


@attrs.frozen
class Request:
    """One HTTP request, without its secrets.

    Attributes:
        method: GET or POST.
        url: the address, perhaps with a query of its own (an `upload_url` is the server's word and stays as it came).
        headers: in order; a value may be the place of a secret.
        query: appended to the URL, in order; a value may be the place of a secret.
        body: pieces to be sent one after the other; never joined, so that a chunk is not copied.
        secrets: which it carries.
    """

    method: str
    url: str
    headers: Fields = ()
    query: Fields = ()
    body: Body = attrs.field(default=(), repr=False, eq=False)
    secrets: frozenset[SecretName] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: _secrets_in(*self.headers, *self.query), takes_self=True),
    )

    @property
    def body_size(self) -> int:
        """Bytes of the body."""
        return sum(len(piece) for piece in self.body)


def _secrets_in(*fields: tuple[str, str | SecretName]) -> frozenset[SecretName]:
    return frozenset(value for _, value in fields if isinstance(value, SecretName))


@attrs.frozen
class Answer:
    """One HTTP answer, read whole.

    Attributes:
        status: the HTTP status.
        content: the body.
        asked_at: when the request was begun (Unix time, seconds); life times are counted from there, to be on the
            safe side.
        retry_after: the header of that name, as it came.
    """

    status: int
    content: bytes = attrs.field(repr=False)
    asked_at: float
    retry_after: str | None = None


@attrs.frozen
class Call(Generic[T_co]):
    """One operation of the service as a value.

    Attributes:
        operation: its name in errors and logs.
        request: what goes out.
        decode: what makes a value, or an error, of what comes back.
        repeatable: whether it may be sent again although the first try may have had its effect.
        repeatable_once_answered: whether it may be sent again after any answer that is no success, since without a
            success its effect does not matter; only a lost answer leaves one in doubt.
        file_id: the upload or video it is about.
    """

    operation: str
    request: Request
    decode: Callable[[Answer], T_co] = attrs.field(repr=False)
    repeatable: bool = True
    repeatable_once_answered: bool = False
    file_id: str | None = None


class MisdirectedSecretError(AssertionError):
    """A request would have carried a secret to a host that must not have it: a mistake in this library."""


@attrs.frozen
class Outgoing:
    """A request with its secrets in place: for the wire only. It prints nothing of them.

    Attributes:
        address: the URL but for `query`; no secret is ever in it.
        query: what stands behind it, with the character that parts them.
    """

    method: str
    address: str = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)
    body: Body = attrs.field(repr=False)
    query: str = attrs.field(default="", repr=False)

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.address + self.query


def fill(request: Request, secrets: Secrets, trusted: frozenset[str]) -> Outgoing:
    """Put the secrets of a request in their places.

    Args:
        request: the request.
        secrets: at least those that it has places for.
        trusted: the origins that secrets may be sent to.

    Raises:
        MisdirectedSecretError: the request has a place for a secret but its host is not a trusted one.
    """
    if request.secrets and hosts.origin(request.url) not in trusted:
        raise MisdirectedSecretError(f"a secret must not go to {hosts.origin(request.url)}")

    def place(fields: Fields) -> Headers:
        if not request.secrets:
            return cast("Headers", fields)
        return tuple([(name, secrets[value] if isinstance(value, SecretName) else value) for name, value in fields])

    # A fragment never goes out, and what is put behind it would not either.
    address, query = request.url.partition("#")[0], ""
    if request.query:
        # The names are the protocol's own, and hold nothing that needs an escape.
        query = "&".join([f"{name}={quote(value, safe='')}" for name, value in place(request.query)])
        query = ("&" if "?" in address else "?") + query
    return Outgoing(request.method, address, place(request.headers), request.body, query)


#: So many characters of a secret are never left standing.
TELLING = 12


def redact(text: str, secrets: Secrets) -> str:
    """A text of the service with our secrets taken out, in whatever case and escaping it repeats them, and also where
    the text was shortened in the middle of one."""
    names = {
        form.lower(): f"<{secret.value}>" for secret, value in secrets.items() for form in _spellings(value) if form
    }
    if not names:
        return text
    # One pass, the longest first: a secret may be a part of another one.
    forms = sorted(names, key=len, reverse=True)
    pattern = "|".join([*map(re.escape, forms), *(_cut_short(form) for form in forms if len(form) > TELLING)])

    def name(found: re.Match[str]) -> str:
        seen = found.group().lower()
        return names.get(seen) or next(names[form] for form in forms if form.startswith(seen))

    return re.sub(pattern, name, text, flags=re.IGNORECASE | re.ASCII)


def _cut_short(form: str) -> str:
    """A pattern for the beginning of a form: its first telling characters, and as many more as there are."""
    rest = ""
    for character in reversed(form[TELLING:100]):
        rest = f"(?:{re.escape(character)}{rest})?"
    return re.escape(form[:TELLING]) + rest


def _spellings(value: str) -> set[str]:
    """A secret plain, percent-encoded, and as JSON writes it (PHP's with an escaped slash)."""
    in_json = json.dumps(value)[1:-1]
    return {value, quote(value), quote(value, safe=""), quote_plus(value), in_json, in_json.replace("/", "\\/")}

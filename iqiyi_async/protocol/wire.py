"""What a call, a request and an answer are, and where a secret goes.

The law of this file: a `Request` never holds a secret, only the place for one (`SecretName`), so that it can be logged,
printed and kept. The transport puts the secrets in, at the last moment and for the service's own hosts only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Generic, TypeVar

import attrs

from ..errors import VideoCloudError

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
        """Which secrets there are; with this, ``{**secrets}`` works."""
        return self._held.keys()

    def values(self) -> Iterable[str]:
        """What they are."""
        return self._held.values()

    def items(self) -> Iterable[tuple[SecretName, str]]:
        """Each with its value."""
        return self._held.items()

    def __repr__(self) -> str:
        return f"<{', '.join(secret.value for secret in self._held)}>"


#: Names and values, in order: of headers, of a query, of a form. A value may be the place of a secret.
Fields = tuple[tuple[str, str | SecretName], ...]
#: Pieces that are sent one after the other.
Body = tuple[bytes | memoryview, ...]


@attrs.frozen(eq=False)
class Request:
    """One HTTP request, without its secrets.

    Attributes:
        method: GET or POST.
        url: the address, perhaps with a query of its own (an `upload_url` is the server's word and stays as it came).
        headers: in order; a value may be the place of a secret.
        query: appended to the URL, in order; a value may be the place of a secret.
        body: pieces to be sent one after the other; never joined, so that a chunk is not copied.
        form: the fields of a form that is the whole body, in place of `body`; a value may be the place of a secret.
        boundary: what separates them.
        secrets: which it carries.
    """

    method: str
    url: str
    headers: Fields = ()
    query: Fields = ()
    body: Body = attrs.field(default=(), repr=False)
    form: Fields = ()
    boundary: str = attrs.field(default="", repr=False)
    secrets: frozenset[SecretName] = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: _secrets_in(*self.headers, *self.query, *self.form), takes_self=True),
    )

    @property
    def body_size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.body))


def _secrets_in(*fields: tuple[str, str | SecretName]) -> frozenset[SecretName]:
    return frozenset({value for _, value in fields if isinstance(value, SecretName)})


@attrs.frozen
class Answer:
    """One HTTP answer, read whole.

    Attributes:
        status: the HTTP status.
        content: the body.
        asked_at: when the request was begun (Unix time, seconds); life times are counted from there, to be on the
            safe side.
        retry_after: the header of that name, as it came.
        answered_at: when the answer had come (Unix time, seconds), or None if that is not known.
        date: the header of that name: the server's own clock.
    """

    status: int
    content: bytes = attrs.field(repr=False)
    asked_at: float
    retry_after: str | None = attrs.field(default=None, repr=False)
    answered_at: float | None = None
    date: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Call(Generic[T_co]):
    """One operation of the service as a value.

    Attributes:
        operation: its name in errors and logs.
        request: what goes out.
        decode: what makes a value, or an error, of what comes back; called by the method of that name.
        repeatable: whether it may be sent again although the first try may have had its effect.
        file_id: the upload or video it is about.
    """

    operation: str
    request: Request
    _decode: Callable[[Answer], T_co] = attrs.field(repr=False)
    repeatable: bool = True
    file_id: str | None = None

    def decode(self, answer: Answer) -> T_co:
        """Make a value of what came back.

        Raises:
            VideoCloudError: what the answer means; it says which operation and which upload or video it is about.
        """
        try:
            return self._decode(answer)
        except VideoCloudError as error:
            if error.operation is None:
                # Otherwise a call that contains this one has said it.
                error.operation = self.operation
                error.args = (f"{self.operation}: {error}",)
            error.file_id = error.file_id or self.file_id
            raise


class MisdirectedSecretError(AssertionError):
    """A request would have carried a secret to a host that must not have it: a mistake in this library."""

"""An answer's bytes into values or errors: what is tolerated, and what a code means where.

The service is read liberally (contract, sections B and C): JSON is dug out of the text around it, keys and codes lose
their spaces,
numbers may be numeric strings, null and empty fields count as absent, unknown fields are ignored. A code's meaning
depends on the operation, so every operation brings its own table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import attrs
import cattrs

from ..errors import (
    AuthorizationError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    UnknownFileError,
)
from .wire import Answer

T = TypeVar("T")
Json = Mapping[str, Any]

SUCCESS = "A00000"

#: An answer whose token is refused: renew it once and say the same again (contract, section A, codes of operation 5).
TOKEN_REFUSED = frozenset({"A21327", "A21332"})

_EXCERPT = 160
_OPAQUE = re.compile(r"[A-Za-z0-9_\-.~+/=%]{16,}")
_SECRET_FIELD = re.compile(r"""((?:access_token|refresh_token|client_secret|client_id)\W{1,6})([^"'&\s,}]+)""")


@attrs.frozen
class Meaning:
    """What a code means for one operation: the kind of error, and a sentence for whoever has to act on it."""

    error: type[ServiceError | AuthorizationError]
    text: str


#: Codes of the authorization family mean the same wherever they appear (contract, B12).
OAUTH_CODES: Mapping[str, Meaning] = {
    "A21322": Meaning(AuthorizationError, "the redirect address does not match the application"),
    "A21323": Meaning(AuthorizationError, "the authorization request is invalid"),
    "A21324": Meaning(AuthorizationError, "the app key or app secret is wrong"),
    "A21325": Meaning(AuthorizationError, "the refresh token is invalid, expired or revoked"),
    "A21326": Meaning(AuthorizationError, "the application may not do this"),
    "A21327": Meaning(AuthorizationError, "the access token has expired"),
    "A21328": Meaning(AuthorizationError, "the grant type is not supported"),
    "A21329": Meaning(AuthorizationError, "the response type is not supported"),
    "A21330": Meaning(AuthorizationError, "access was denied"),
    "A21331": Meaning(ServiceUnavailableError, "authorization is temporarily unavailable"),
    "A21332": Meaning(AuthorizationError, "the access token is invalid"),
}

FAILED: Mapping[str, Meaning] = {"Q00001": Meaning(ServiceError, "the service failed")}
INVALID_PARAMETER = Meaning(InvalidParameterError, "the service found a parameter wrong")
UNKNOWN_FILE = Meaning(UnknownFileError, "the service does not know this file_id")
OVER_QUOTA = Meaning(QuotaExceededError, "the application is over its quota")


@attrs.frozen
class Reply:
    """A parsed answer: its code (None if it had none), the service's words, and all top-level fields."""

    code: str | None
    message: str
    fields: Json

    @property
    def data(self) -> Json:
        """The `data` object; empty if it is absent or, as PHP writes an empty object, a list."""
        return mapping(self.fields.get("data"))


def read(operation: str, answer: Answer, *, private: bool = False) -> Reply:
    """Parse an answer, or raise what its HTTP status or its shape means.

    Args:
        operation: its name, for the error.
        answer: what came.
        private: never quote the answer: it may hold a token.

    Raises:
        ServiceUnavailableError: HTTP 408, 429 or 5xx.
        ServiceError: another HTTP error without a code of the service.
        ResponseError: a redirect, or no JSON object in it.
    """
    fields = _object_in(answer.content)
    code = _code(fields)
    status = answer.status
    if status in (408, 429) or status >= 500:
        raise ServiceUnavailableError(
            f"{operation}: the service is not available for now (HTTP {status})",
            code=f"HTTP {status}" if code is None else code,
            retry_after=seconds_of(answer.retry_after, answer.asked_at),
            operation=operation,
        )
    if 300 <= status < 400:
        raise ResponseError(
            f"{operation}: the service answered with a redirect (HTTP {status}), which is never followed",
            status=status,
            operation=operation,
        )
    if status >= 400 and code in (None, SUCCESS):
        raise _http_error(operation, status)
    if fields is None:
        excerpt = "" if private else excerpt_of(answer.content)
        raise ResponseError(
            f"{operation}: the answer (HTTP {status}, {len(answer.content)} bytes) holds no JSON object"
            + (f": {excerpt!r}" if excerpt else ""),
            status=status,
            excerpt=excerpt,
            operation=operation,
            retryable=True,
        )
    message = fields.get("msg")
    return Reply(code, message.strip() if isinstance(message, str) else "", fields)


def expect_success(
    operation: str,
    reply: Reply,
    meanings: Mapping[str, Meaning],
    *,
    file_id: str | None = None,
    success: frozenset[str] = frozenset({SUCCESS}),
) -> None:
    """Raise what the code of a reply means for this operation, unless it is success.

    Raises:
        AuthorizationError: the token, the credentials or the application were refused.
        ServiceError: any other code, known or not; the error carries it.
    """
    if reply.code in success:
        return
    code = reply.code or "no code"
    meaning = meanings.get(code) or OAUTH_CODES.get(code) or Meaning(ServiceError, "the service refused")
    words = f": {reply.message[:_EXCERPT]}" if reply.message else ""
    text = f"{operation}: {meaning.text} ({code}){words}"
    if issubclass(meaning.error, AuthorizationError):
        raise meaning.error(text, code=code, operation=operation)
    raise meaning.error(text, code=code, message=reply.message, operation=operation, file_id=file_id)


def structure(operation: str, fields: Json, shape: type[T], answer: Answer) -> T:
    """Make a value of a known shape out of JSON fields.

    Raises:
        ResponseError: a field is missing or is not what it should be; the error names it, never its value.
    """
    try:
        return _converter.structure(present(fields), shape)
    except (cattrs.BaseValidationError, ValueError, TypeError) as problem:
        complaints = "; ".join(cattrs.transform_error(problem, path="answer", format_exception=_complaint))
    raise ResponseError(
        f"{operation}: the answer can't be read: {complaints}", status=answer.status, operation=operation
    )


def present(fields: Json) -> dict[str, Any]:
    """The fields that say something: null and "" count as absent."""
    return {key: value for key, value in fields.items() if value is not None and value != ""}


def mapping(value: object) -> Json:
    """A JSON object with its keys stripped, or an empty one for whatever else came."""
    return _stripped(cast("Json", value)) if isinstance(value, dict) else {}


def clean_text(value: object) -> str | None:
    """A string without stray spaces, or None for nothing."""
    return value.strip() or None if isinstance(value, str) else None


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """A ``Retry-After`` header in seconds (RFC 9110, 10.2.3: a number or a date), or None if there is none to obey."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def excerpt_of(content: bytes) -> str:
    """The first characters of an answer without anything that looks like a secret."""
    text = content[: 8 * _EXCERPT].decode("utf-8", "replace")
    text = _OPAQUE.sub("…", _SECRET_FIELD.sub(r"\1…", text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_EXCERPT]


def _http_error(operation: str, status: int) -> ServiceError | AuthorizationError:
    if status == 401:
        return AuthorizationError(
            f"{operation}: the token was refused (HTTP 401)", code="HTTP 401", operation=operation
        )
    return ServiceError(
        f"{operation}: the service refused with HTTP {status}", code=f"HTTP {status}", operation=operation
    )


def _object_in(content: bytes) -> Json | None:
    """The JSON object in a text: clients of the service cut from the first bracket to the last (contract, B8)."""
    text = content.decode("utf-8", "replace")
    for start, end in _candidates(text):
        try:
            value = json.loads(text[start:end])
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return _stripped(cast("Json", value))
    return None


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    yield 0, len(text)
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield start, end + 1


def _stripped(fields: Json) -> dict[str, Any]:
    return {str(key).strip(): value for key, value in fields.items()}


def _code(fields: Json | None) -> str | None:
    code = None if fields is None else fields.get("code")
    return str(code).strip() if isinstance(code, str | int) and str(code).strip() else None


def _number(value: object, kind: type[Any]) -> Any:
    if isinstance(value, str):
        value = float(value) if kind is float else int(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 2**62:
        raise ValueError("not a number")
    return kind(value)


def _text(value: object, _: type[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("not a text")  # noqa: TRY004 - cattrs gathers ValueErrors
    return str(value).strip()


def _complaint(problem: BaseException, _: type[Any] | None) -> str:
    if isinstance(problem, KeyError):
        return f"{problem.args[0]} is missing"
    return str(problem) if str(problem) in ("not a number", "not a text") else "a field is not what it should be"


_converter = cattrs.Converter()
_converter.register_structure_hook(int, _number)
_converter.register_structure_hook(float, _number)
_converter.register_structure_hook(str, _text)

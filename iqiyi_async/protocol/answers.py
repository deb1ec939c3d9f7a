"""What an answer means: its HTTP status, its code, and the errors that these stand for.

What belongs here: that a code's meaning depends on the operation, so every operation brings its own table; what must
not: the values in an answer (`fields` reads them, the operations name them).
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import attrs

from ..errors import (
    AuthorizationError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    UnknownFileError,
    VideoCloudError,
)
from .fields import Json, mapping, object_in, one_line
from .wire import Answer

SUCCESS = "A00000"

#: An answer whose token is refused: renew it once and say the same again (contract, section A, codes of operation 5).
TOKEN_REFUSED = frozenset({"A21327", "A21332"})

#: The operations that get a token for others.
TOKEN_OPERATIONS = frozenset({"authorize", "refresh_token"})

#: An excerpt of an answer has so many characters, and so many bytes are looked at for it.
_EXCERPT, _LOOKED_AT = 160, 8 * 160
#: The service's words are cut to so many characters.
MAX_WORDS = 500
_LONGEST_CODE = 64
_OPAQUE_CHARACTERS = string.ascii_letters + string.digits + "_-.~+/=%"
_OPAQUE = re.compile(rf"[{re.escape(_OPAQUE_CHARACTERS)}]{{16,}}")
_SECRET_FIELD = re.compile(r"""((?:access_token|refresh_token|client_secret|client_id)\W{1,6})([^"'&\s,}]+)""")


@attrs.frozen
class Meaning:
    """What a code means for one operation: the kind of error, and a sentence for the person who has to act on it."""

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
#: What the service says when the headers of a request were lost on the way (contract, B1), and what a table of
#: meanings calls it.
_FOUND_NONE = "can not find file id none"
LOST = "parameters lost"
HEADERS_LOST = Meaning(
    InvalidParameterError,
    "the parameters of the request were lost on the way, perhaps at a proxy that drops headers with underscores (nginx"
    ' does by default): set UploadOptions(parameters="body")',
)
UNKNOWN_FILE = Meaning(UnknownFileError, "the service does not know this file_id")
OVER_QUOTA = Meaning(QuotaExceededError, "the application is over its quota")


@attrs.frozen
class Reply:
    """A parsed answer: its code (None if it had none), the service's words, and all top-level fields."""

    status: int
    code: str | None
    message: str
    fields: Json

    @property
    def data(self) -> Json:
        """The `data` object; empty if it is absent or, as PHP writes an empty object, a list."""
        return mapping(self.fields.get("data"))


def read(answer: Answer, *, private: bool = False, if_too_large: str = "") -> Reply:
    """Parse an answer, or raise what its HTTP status or its shape means.

    Args:
        answer: what came.
        private: never quote the answer: it may hold a token.
        if_too_large: what to do about HTTP 413, for the text of the error.

    Raises:
        ServiceUnavailableError: HTTP 408, 429 or 5xx.
        ServiceError: another HTTP error without a code of the service.
        ResponseError: a redirect, or no JSON object in it.
    """
    fields = object_in(answer.content)
    code = _code(fields)
    status = answer.status
    if status in (408, 429) or status >= 500:
        raise ServiceUnavailableError(
            f"the service is not available for now (HTTP {status})",
            code=f"HTTP {status}" if code is None else code,
            retry_after=seconds_of(answer.retry_after, _server_time(answer)),
        )
    if 300 <= status < 400:
        raise ResponseError(
            f"the service answered with a redirect (HTTP {status}), which is never followed", status=status
        )
    if status >= 400 and code in (None, SUCCESS):
        raise _http_error(status, if_too_large)
    if fields is None:
        excerpt = "" if private else excerpt_of(answer.content)
        raise ResponseError(
            f"the answer (HTTP {status}, {len(answer.content)} bytes) holds no JSON object"
            + (f": {excerpt!r}" if excerpt else ""),
            status=status,
            excerpt=excerpt,
            retryable=True,
        )
    return Reply(status, code, words_of(fields.get("msg")), fields)


def words_of(value: object) -> str:
    """Words of the service: one printable line, not too long to be shown."""
    return one_line(value[: 4 * MAX_WORDS] if isinstance(value, str) else value)[:MAX_WORDS]


def expect_success(
    reply: Reply, meanings: Mapping[str, Meaning], *, success: frozenset[str] = frozenset({SUCCESS})
) -> None:
    """Raise what the code of a reply means for this operation, unless it is success.

    Raises:
        AuthorizationError: the token, the credentials or the application were refused.
        ServiceError: any other code, known or not; the error carries it.
        ResponseError: there is no code, so nobody knows what became of the request.
    """
    code = reply.code
    if code is None:
        raise ResponseError(f"the answer (HTTP {reply.status}) holds no code", status=reply.status, retryable=True)
    if code in success:
        return
    lost = code == "A00005" and _FOUND_NONE in reply.message.lower()
    meaning = (
        (meanings.get(LOST, HEADERS_LOST) if lost else meanings.get(code))
        or OAUTH_CODES.get(code)
        or Meaning(ServiceError, "the service refused")
    )
    words = f": {reply.message[:_EXCERPT]}" if reply.message else ""
    text = f"{meaning.text} ({code}){words}"
    if issubclass(meaning.error, AuthorizationError):
        raise meaning.error(text, code=code)
    raise meaning.error(text, code=code, message=reply.message)


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """A ``Retry-After`` header in seconds (RFC 9110, 10.2.3: a number or a date), or None if there is none to
    obey."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    date = _unix_time(text)
    return None if date is None else max(0.0, date - now)


def _server_time(answer: Answer) -> float:
    """When the answer was given, by the server's own clock if it tells: a date of its own counts from there."""
    date = None if answer.date is None else _unix_time(answer.date.strip())
    if date is not None:
        return date
    return answer.asked_at if answer.answered_at is None else answer.answered_at


def _unix_time(text: str) -> float | None:
    """The date of a header in seconds since 1970, or None for what is no date."""
    try:
        date = parsedate_to_datetime(text)
        # Dates of HTTP are in GMT even when they do not say so.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def outcome_unknown(error: VideoCloudError) -> bool:
    """Whether the service may have done what was asked although it did not say so."""
    if error.operation in TOKEN_OPERATIONS:
        # The request itself had not been sent yet.
        return False
    if isinstance(error, TransportError):
        return error.sent
    # 429 and 503 say that the request was turned away at the door; other 5xx, and what can't be read, say nothing.
    if isinstance(error, ServiceUnavailableError):
        return error.code not in ("HTTP 429", "HTTP 503", "A21331")
    return isinstance(error, ResponseError)


def is_about_token(error: VideoCloudError) -> bool:
    """Whether an error says that the access token was refused: another one may be taken."""
    return isinstance(error, AuthorizationError) and (error.code in TOKEN_REFUSED or error.code == "HTTP 401")


def is_outage(error: VideoCloudError) -> bool:
    """Whether an error says that the service as a whole is down: nothing got through, or it was turned away."""
    if isinstance(error, TransportError):
        return True
    return isinstance(error, ServiceUnavailableError) and error.code in ("HTTP 502", "HTTP 503", "HTTP 504")


def may_be_outage(error: VideoCloudError) -> bool:
    """Whether an error may say so, but may also be about the one request: other 5xx, 429, a page of HTML instead of an
    answer."""
    return isinstance(error, ServiceUnavailableError) or (isinstance(error, ResponseError) and error.retryable)


def excerpt_of(content: bytes) -> str:
    """The first characters of an answer without anything that looks like a secret."""
    text = content[:_LOOKED_AT].decode("utf-8", "replace")
    if len(content) > _LOOKED_AT:
        # The cut may have left too little of a secret for it to look like one.
        text = text.rstrip(_OPAQUE_CHARACTERS)
    return one_line(_OPAQUE.sub("…", _SECRET_FIELD.sub(r"\1…", text)))[:_EXCERPT]


def _http_error(status: int, if_too_large: str) -> ServiceError | AuthorizationError:
    if status == 401:
        return AuthorizationError("the token was refused (HTTP 401)", code="HTTP 401")
    why = f": {if_too_large}" if status == 413 and if_too_large else ""
    return ServiceError(f"the service refused with HTTP {status}{why}", code=f"HTTP {status}")


def _code(fields: Json | None) -> str | None:
    code = None if fields is None else fields.get("code")
    return one_line(str(code))[:_LONGEST_CODE] or None if isinstance(code, str | int) else None

"""Every error this library raises, branched by what the caller should do.

    VideoCloudError                 the root: .operation .file_id .retryable
    ├─ ConfigurationError           fix the call (also a ValueError); nothing was sent
    ├─ AuthorizationError           credentials refused, or the application is pending / rejected / frozen / deleted
    ├─ ServiceError                 the service said no: .code .message
    │  ├─ QuotaExceededError        the application has no room left
    │  ├─ InvalidParameterError     the service found a parameter wrong
    │  ├─ UnknownFileError          the service does not know this file_id (any more)
    │  └─ ServiceUnavailableError   busy or broken; worth waiting for: .retry_after
    ├─ TransportError               no whole answer came; the cause is chained
    ├─ ResponseError                an answer came that cannot be read: .excerpt
    ├─ DuplicateVideoError          the same bytes are a video already: .file_id is the earlier one
    └─ UploadError                  an upload stopped half way: .accepted .resumable
       ├─ IntegrityError            the service kept other bytes than were sent
       └─ SourceChangedError        the source is not what it was when the upload began

What belongs here: names and primitives only, so that every error can be pickled and none can hold a secret.
What must not: knowledge of the wire (which code means what is the protocol's).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuthorizationError",
    "ConfigurationError",
    "DuplicateVideoError",
    "IntegrityError",
    "InvalidParameterError",
    "QuotaExceededError",
    "ResponseError",
    "ServiceError",
    "ServiceUnavailableError",
    "SourceChangedError",
    "TransportError",
    "UnknownFileError",
    "UploadError",
    "VideoCloudError",
]


class VideoCloudError(Exception):
    """The root of every error this library raises.

    Attributes:
        operation: what was being done (``request_upload``, ``upload_chunk``, ...), or None.
        file_id: the upload or video it was done to, or None.
        retryable: whether the same call may succeed later without a change.
        exhausted: whether it was tried as often as its policy allows: nothing that contains the call tries it again.
    """

    retryable: bool = False
    exhausted: bool = False

    def __init__(
        self, message: str, *, operation: str | None = None, file_id: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        self.operation: str | None = operation
        self.file_id: str | None = file_id
        if retryable is not None:
            self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only parameters do not survive the default pickling of exceptions; the attributes do.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(cls: type[VideoCloudError], args: tuple[Any, ...], state: dict[str, Any]) -> VideoCloudError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(VideoCloudError, ValueError):
    """A parameter, an option or a source can't work; found before any request was sent."""


class AuthorizationError(VideoCloudError):
    """The credentials were refused, or the application may not do this (yet).

    Attributes:
        code: the service's code, such as ``A21324``, or None when there was none.
    """

    def __init__(self, message: str, *, code: str | None = None, operation: str | None = None) -> None:
        super().__init__(message, operation=operation)
        self.code: str | None = code


class ServiceError(VideoCloudError):
    """The service answered, and the answer is no.

    Attributes:
        code: the service's code, such as ``Q00001``, or ``HTTP 404`` when the answer held none.
        message: the service's own words on one line, at most 500 characters, possibly empty.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str,
        message: str = "",
        operation: str | None = None,
        file_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(text, operation=operation, file_id=file_id, retryable=retryable)
        self.code: str = code
        self.message: str = message


class QuotaExceededError(ServiceError):
    """The upload is over the application's quota."""


class InvalidParameterError(ServiceError):
    """The service found a parameter wrong."""


class UnknownFileError(ServiceError):
    """The service does not know this file_id, or has dropped it."""


class ServiceUnavailableError(ServiceError):
    """The service is busy or broken for now.

    Attributes:
        retry_after: how long the service asked to wait, in seconds, or None.
    """

    retryable = True

    def __init__(
        self,
        text: str,
        *,
        code: str,
        message: str = "",
        retry_after: float | None = None,
        operation: str | None = None,
        file_id: str | None = None,
    ) -> None:
        super().__init__(text, code=code, message=message, operation=operation, file_id=file_id)
        self.retry_after: float | None = retry_after


class TransportError(VideoCloudError):
    """No whole answer came: refused, reset, timed out, cut off.

    Attributes:
        sent: whether the request may have reached the service, so that its effect is unknown.
        closed_before: whether it met a kept connection that the service had closed: that says nothing against the
            service.
    """

    retryable = True
    closed_before: bool = False

    def __init__(self, message: str, *, sent: bool, operation: str | None = None, file_id: str | None = None) -> None:
        super().__init__(message, operation=operation, file_id=file_id)
        self.sent: bool = sent


class ResponseError(VideoCloudError):
    """An answer came that can't be read.

    Attributes:
        status: the HTTP status.
        excerpt: the first characters of the answer, with everything that looks like a secret removed.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        excerpt: str = "",
        operation: str | None = None,
        file_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, operation=operation, file_id=file_id, retryable=retryable)
        self.status: int = status
        self.excerpt: str = excerpt


class DuplicateVideoError(VideoCloudError):
    """The bytes of the source are a video of this account already, under another name or with other metadata.

    Nothing was sent. `file_id` is the earlier video; ``again=True`` uploads it once more.
    """


class UploadError(VideoCloudError):
    """An upload stopped after the service had given it a file_id.

    Attributes:
        accepted: bytes that the service had accepted and whose MD5 was checked.
        resumable: whether the upload can go on from there.
    """

    def __init__(
        self,
        message: str,
        *,
        file_id: str | None = None,
        accepted: int = 0,
        resumable: bool = False,
        operation: str | None = "upload",
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, operation=operation, file_id=file_id, retryable=retryable)
        self.accepted: int = accepted
        self.resumable: bool = resumable


class IntegrityError(UploadError):
    """The service's MD5 or byte count of a range differs from what was sent, try after try."""


class SourceChangedError(UploadError):
    """The source became shorter, longer or different while it was read; nothing was published."""

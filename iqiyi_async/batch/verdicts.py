"""What an item's error means for the item and for the batch, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from ..errors import (
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    IntegrityError,
    InvalidParameterError,
    QuotaExceededError,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    TransportError,
    UploadError,
    VideoCloudError,
)
from ..models import VideoStatus
from .ledger import LedgerError

#: What to do about a video that will not be published.
REVIEW_HINT = "look at the video in the console; retrying the item uploads it once more"


class Verdict(Enum):
    """What becomes of an item whose upload ended with an error."""

    #: Later again; it counts as a failure of the item.
    RETRY = "retry"
    #: Given up.
    FAIL = "fail"
    #: The service can't be reached or is busy: perhaps for all items.
    OUTAGE = "outage"
    #: The whole batch stops, and the item stays as it was.
    STOP = "stop"
    #: The item stays as it was: what happened is not its fault.
    RELEASE = "release"
    #: The bytes are a video already.
    DUPLICATE = "duplicate"


def verdict_of(error: BaseException) -> Verdict:
    """What an error means."""
    chain = list(_causes(error))

    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    if isinstance(error, DuplicateVideoError):
        return Verdict.DUPLICATE
    if among(AuthorizationError, QuotaExceededError):
        return Verdict.STOP
    if among(LedgerError):
        return Verdict.RELEASE
    if among(ConfigurationError):
        return Verdict.FAIL
    if among(ServiceUnavailableError, TransportError):
        return Verdict.OUTAGE
    if among(IntegrityError, SourceChangedError, OSError) or (isinstance(error, VideoCloudError) and error.retryable):
        return Verdict.RETRY
    return Verdict.FAIL


def retry_after_of(error: BaseException) -> float:
    """How long the service asked to wait, in seconds."""
    asked = [each.retry_after or 0.0 for each in _causes(error) if isinstance(each, ServiceUnavailableError)]
    return max(asked, default=0.0)


_HINTS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((AuthorizationError,), "check the app key, the app secret and the state of the application, and run it again"),
    ((QuotaExceededError,), "delete videos that are no longer needed or ask the platform for more room; run it again"),
    ((SourceChangedError,), "retry it once nothing writes to the file any more"),
    ((IntegrityError,), "something on the way changes the data: retry it over another connection"),
    ((InvalidParameterError,), "compare the metadata with what the application may send"),
    ((ConfigurationError,), "correct the file or its line, add it again, and retry the failed items"),
    ((ServiceUnavailableError, TransportError), "the service was busy or not reachable: retry the failed items"),
    ((OSError,), "it is a matter of this machine or its disks: look at the file, and retry the failed items"),
    ((UploadError,), "retry the failed items: they go on from where they were"),
)


def hint_for(error: BaseException) -> str:
    """What to do about an error."""
    for kinds, hint in _HINTS:
        if any(isinstance(each, kinds) for each in _causes(error)):
            return hint
    return "retry the failed items; if it stays so, ask the platform"


def words(error: BaseException) -> str:
    """An error on one line."""
    return " ".join((str(error) or type(error).__name__).split())


def never_published(status: VideoStatus) -> ServiceError:
    """The error of a video that was refused, or that failed at the service."""
    state = status.state.value.replace("_", " ")
    said = f": {status.message}" if status.message else ""
    return ServiceError(
        f"video {status.file_id} will not be published ({state}){said}",
        code=status.code,
        message=status.message,
        operation="get_status",
        file_id=status.file_id,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__

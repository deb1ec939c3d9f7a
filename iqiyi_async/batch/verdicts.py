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
from ..models import VideoState, VideoStatus
from .ledger.base import LedgerError
from .models import ItemState

#: What to do about a video that will not be published.
REVIEW_HINT = "look at the video in the console; retrying the item uploads it once more"

_STATES = {VideoState.PUBLISHED: ItemState.PUBLISHED, VideoState.REVIEW_FAILED: ItemState.REVIEW_FAILED}


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
    """An error on one line, without what only a single upload can do about it."""
    return " ".join((str(error) or type(error).__name__).split()).removesuffix("; again=True uploads it once more")


def review_of(outcome: VideoStatus | VideoCloudError) -> tuple[ItemState, VideoCloudError | None]:
    """The state of an item whose publication was waited for, and its error.

    Args:
        outcome: where its video stands, or the error with which the waiting was given up.
    """
    if isinstance(outcome, VideoCloudError):
        # It may be published all the same: retried, it is looked at, and not uploaded again.
        return ItemState.FAILED, outcome
    state = _STATES.get(outcome.state, ItemState.PUBLISH_FAILED)
    return state, None if state is ItemState.PUBLISHED else _never_published(outcome)


def _never_published(status: VideoStatus) -> ServiceError:
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

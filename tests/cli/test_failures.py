"""Every error has its words."""

from __future__ import annotations

import errno

import pytest

import iqiyi_async
from iqiyi_async import (
    AuthorizationError,
    ConfigurationError,
    IntegrityError,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    TransportError,
    UploadError,
    VideoCloudError,
)
from iqiyi_async.cli.failures import CommandError, UsageError, failure_of

KINDS = [
    kind
    for kind in map(iqiyi_async.__dict__.get, iqiyi_async.__all__)
    if isinstance(kind, type) and issubclass(kind, VideoCloudError)
]


def error_of(kind: type[VideoCloudError]) -> VideoCloudError:
    needed = {"code": "Q00001"} if issubclass(kind, ServiceError) else {}
    if kind.__name__ == "TransportError":
        needed = {"sent": False}
    if kind.__name__ == "ResponseError":
        needed = {"status": 200}
    return kind("what happened", **needed)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_says_what_to_do(kind: type[VideoCloudError]) -> None:
    failure = failure_of(error_of(kind))
    assert failure.message == "what happened"
    assert failure.hint
    assert "\n" not in failure.hint
    assert failure.code == (2 if kind is ConfigurationError else 1)
    assert not failure.unexpected


def test_kinds_are_told_apart() -> None:
    assert len(KINDS) == 14
    hints = {kind: failure_of(error_of(kind)).hint for kind in KINDS}
    assert len(set(hints.values())) == len(hints)


def test_special_kinds_go_before_general_ones() -> None:
    assert "check the app key" in failure_of(AuthorizationError("x", code="A21324", operation="authorize")).hint
    assert (
        "state of your application"
        in failure_of(AuthorizationError("x", code="A00008", operation="request_upload")).hint
    )
    assert "in 30 s" in failure_of(ServiceUnavailableError("x", code="HTTP 503", retry_after=30.0)).hint
    assert "starts over" in failure_of(SourceChangedError("x")).hint
    assert "changes the data" in failure_of(IntegrityError("x", resumable=True)).hint
    assert "1,024 bytes are safe" in failure_of(UploadError("x", accepted=1024, resumable=True)).hint
    assert "starts over" in failure_of(UploadError("x", accepted=1024)).hint
    assert "check the network" in failure_of(TransportError("x", sent=True)).hint


def test_errors_of_the_machine() -> None:
    full = failure_of(OSError(errno.ENOSPC, "No space left on device", "/there"))
    assert full.message == "/there: No space left on device"
    assert "make room" in full.hint
    assert "status FILE_ID" in failure_of(TimeoutError("not published after 3 s")).hint
    assert "pip install" in failure_of(ImportError("the emulator needs an extra")).hint


def test_columns_are_no_options() -> None:
    said = failure_of(ConfigurationError("no column is called source: the columns are source, file_type, key")).message
    assert said.endswith("source, file_type, key")
    assert failure_of(ConfigurationError("file_type is needed")).message == "--file-type is needed"
    assert failure_of(ConfigurationError("file_type is needed"), options=False).message == "file_type is needed"


def test_our_own_and_unexpected_ones() -> None:
    usage = failure_of(UsageError("no", "do this"))
    assert (usage.message, usage.hint, usage.code) == ("no", "do this", 2)
    assert failure_of(CommandError("no", "do that")).code == 1
    strange = failure_of(ZeroDivisionError("division by zero"))
    assert strange.unexpected
    assert strange.message == "unexpected ZeroDivisionError: division by zero"

"""The tree of errors: who is whose child, what each carries, and that all of it survives a copy."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from iqiyi_async import errors
from iqiyi_async.errors import (
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    IntegrityError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    TransportError,
    UnknownFileError,
    UploadError,
    VideoCloudError,
)

PARENTS = {
    VideoCloudError: (Exception,),
    ConfigurationError: (VideoCloudError, ValueError),
    AuthorizationError: (VideoCloudError,),
    ServiceError: (VideoCloudError,),
    QuotaExceededError: (ServiceError,),
    InvalidParameterError: (ServiceError,),
    UnknownFileError: (ServiceError,),
    ServiceUnavailableError: (ServiceError,),
    TransportError: (VideoCloudError,),
    ResponseError: (VideoCloudError,),
    DuplicateVideoError: (VideoCloudError,),
    UploadError: (VideoCloudError,),
    IntegrityError: (UploadError,),
    SourceChangedError: (UploadError,),
}

#: One of each, with everything it can carry, and what its attributes are then.
SAMPLES: list[tuple[VideoCloudError, dict[str, Any]]] = [
    (
        VideoCloudError("text", operation="op", file_id="7", retryable=True),
        {"operation": "op", "file_id": "7", "retryable": True},
    ),
    (VideoCloudError("text"), {"operation": None, "file_id": None, "retryable": False}),
    (ConfigurationError("text"), {"operation": None, "file_id": None, "retryable": False}),
    (
        AuthorizationError("text", code="A21324", operation="op"),
        {"code": "A21324", "operation": "op", "file_id": None, "retryable": False},
    ),
    (AuthorizationError("text"), {"code": None, "operation": None, "file_id": None, "retryable": False}),
    *(
        (
            kind("text", code="Q00001", message="words", operation="op", file_id="7", retryable=retryable),
            {
                "code": "Q00001",
                "message": "words",
                "operation": "op",
                "file_id": "7",
                "retryable": bool(retryable),
            },
        )
        for kind in (ServiceError, QuotaExceededError, InvalidParameterError, UnknownFileError)
        for retryable in (True, False, None)
    ),
    (
        ServiceUnavailableError("text", code="HTTP 503", message="m", retry_after=1.5, operation="op", file_id="7"),
        {
            "code": "HTTP 503",
            "message": "m",
            "retry_after": 1.5,
            "operation": "op",
            "file_id": "7",
            "retryable": True,
        },
    ),
    (
        ServiceUnavailableError("text", code="A00007"),
        {"code": "A00007", "message": "", "retry_after": None, "operation": None, "file_id": None, "retryable": True},
    ),
    (
        TransportError("text", sent=True, operation="op", file_id="7"),
        {"sent": True, "operation": "op", "file_id": "7", "retryable": True},
    ),
    (
        TransportError("text", sent=False),
        {"sent": False, "operation": None, "file_id": None, "retryable": True},
    ),
    (
        ResponseError("text", status=200, excerpt="x", operation="op", file_id="7", retryable=True),
        {"status": 200, "excerpt": "x", "operation": "op", "file_id": "7", "retryable": True},
    ),
    (
        ResponseError("text", status=302),
        {"status": 302, "excerpt": "", "operation": None, "file_id": None, "retryable": False},
    ),
    *(
        (
            kind("text", file_id="7", accepted=9, resumable=True, operation="op", retryable=True),
            {"file_id": "7", "accepted": 9, "resumable": True, "operation": "op", "retryable": True},
        )
        for kind in (UploadError, IntegrityError, SourceChangedError)
    ),
    (
        DuplicateVideoError("text", operation="upload", file_id="6"),
        {"operation": "upload", "file_id": "6", "retryable": False},
    ),
    (
        UploadError("text"),
        {"file_id": None, "accepted": 0, "resumable": False, "operation": "upload", "retryable": False},
    ),
]

each_sample = pytest.mark.parametrize(
    ("error", "attributes"), SAMPLES, ids=[f"{type(error).__name__}-{i}" for i, (error, _) in enumerate(SAMPLES)]
)


def test_the_tree() -> None:
    classes = {c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, BaseException)}
    assert classes == set(PARENTS)
    for child, parents in PARENTS.items():
        assert child.__bases__ == parents
        assert child.__doc__


def test_what_is_exported() -> None:
    assert sorted(errors.__all__) == sorted(c.__name__ for c in PARENTS)
    assert errors.__all__ == sorted(errors.__all__)


def test_the_drawing_shows_the_whole_tree() -> None:
    drawing = errors.__doc__ or ""
    for kind in PARENTS:
        assert f" {kind.__name__} " in drawing.replace("\n", " ")


def test_there_is_a_sample_of_each() -> None:
    assert {type(error) for error, _ in SAMPLES} == set(PARENTS)


@each_sample
def test_attributes(error: VideoCloudError, attributes: dict[str, Any]) -> None:
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert str(error) == "text"
    assert error.args == ("text",)


@each_sample
def test_attributes_are_primitives(error: VideoCloudError, attributes: dict[str, Any]) -> None:
    assert set(vars(error)) <= set(attributes)
    assert all(value is None or type(value) in (str, int, float, bool) for value in vars(error).values())


@each_sample
@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda error, p=p: pickle.loads(pickle.dumps(error, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
    ids=["copy", "deepcopy", *(f"pickle{p}" for p in range(pickle.HIGHEST_PROTOCOL + 1))],
)
def test_copies(error: VideoCloudError, attributes: dict[str, Any], copied: Any) -> None:
    other = copied(error)
    assert other is not error
    assert type(other) is type(error)
    assert {name: getattr(other, name) for name in attributes} == attributes
    assert (str(other), other.args, repr(other)) == (str(error), error.args, repr(error))
    other.file_id = "changed"
    assert error.file_id == attributes["file_id"]


def test_a_changed_error_is_copied_as_it_is() -> None:
    error = ServiceError("before", code="Q00001")
    error.args = ("after",)
    error.operation = "op"
    error.retryable = True
    error.add_note("seen on Monday")
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.operation, other.retryable, other.__notes__) == ("after", "op", True, ["seen on Monday"])


def test_a_wrong_call_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^text$"):
        raise ConfigurationError("text")


@pytest.mark.parametrize("kind", PARENTS)
def test_errors_of_a_caller_s_own_are_copied_too(kind: type[VideoCloudError]) -> None:
    error, attributes = next((error, a) for error, a in SAMPLES if type(error) is kind)
    own = type("OwnError", (kind,), {"__module__": __name__})
    globals()["OwnError"] = own
    try:
        mine = own.__new__(own)
        mine.args = error.args
        mine.__dict__.update(vars(error))
        other = pickle.loads(pickle.dumps(mine))
        assert type(other) is own
        assert {name: getattr(other, name) for name in attributes} == attributes
    finally:
        del globals()["OwnError"]

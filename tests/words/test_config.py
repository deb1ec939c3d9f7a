"""The options: their defaults, their bounds, and the message for each that is wrong."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import config
from iqiyi_async.config import Endpoints, RetryPolicy, UploadOptions
from iqiyi_async.errors import ConfigurationError
from iqiyi_async.protocol.hosts import origin

MIB = 1024 * 1024


def test_defaults_of_the_uploads() -> None:
    assert attrs.asdict(UploadOptions()) == {
        "max_workers": 8,
        "chunk_size": 4 * MIB,
        "parameters": "headers",
        "on_failure": "keep",
        "max_control_connections": 64,
        "source_timeout": 60.0,
        "max_waiting_buffers": None,
        "flush_after": 5.0,
        "max_open_files": None,
        "journal_required": True,
        "trace_ranges": False,
        "remember": 30 * 86400.0,
        "lease_seconds": 60.0,
        "doubt_patience": 30.0,
        "verify": "samples",
        "max_bandwidth": None,
        "max_requests_per_second": None,
        "max_pending_uploads": None,
        "connect_timeout": 10.0,
        "stall_timeout": 30.0,
    }


def test_defaults_of_the_retries() -> None:
    assert attrs.asdict(RetryPolicy()) == {
        "max_attempts": 8,
        "initial_backoff": 0.5,
        "max_backoff": 20.0,
        "retry_after_cap": 120.0,
        "budget": 100,
        "outage_patience": 600.0,
    }


def test_defaults_of_the_endpoints() -> None:
    endpoints = Endpoints()
    assert endpoints.api == "https://openapi.iqiyi.com"
    assert endpoints.upload == "http://upload.iqiyi.com"
    assert dict(endpoints.backups) == {"http://qichuan.iqiyi.com": "http://qc.iqiyi.com"}
    assert endpoints.forms == "http://qichuan.iqiyi.com"
    assert endpoints.fallbacks == ("http://qichuan.iqiyi.com", "http://qc.iqiyi.com")
    assert (endpoints.metadata, endpoints.urls) == (None, None)


@pytest.mark.parametrize("value", [Endpoints(), Endpoints.single("http://a"), RetryPolicy(), UploadOptions()])
def test_options_are_values(value: Any) -> None:
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), attrs.evolve(value)):
        assert copied == value
        assert hash(copied) == hash(value)
        assert repr(copied) == repr(value)
    for field in attrs.fields(type(value)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, field.name, getattr(value, field.name))


def test_one_client_s_backups_are_not_another_s() -> None:
    assert Endpoints().backups is not Endpoints().backups
    mine = {"http://a": "http://b"}
    endpoints = Endpoints(backups=mine)
    mine["http://a"] = "http://evil"
    assert dict(endpoints.backups) == {"http://a": "http://b"}


WHOLE = "must be a whole number, not "
UPLOADS: list[tuple[str, Any, str]] = [
    *(("max_workers", value, "must be from 1 to 256, not ") for value in (0, -1, 257)),
    *(("max_workers", value, WHOLE) for value in (1.0, True, "8", None)),
    *(("chunk_size", value, "must be from 1 to 1073741824 bytes, not ") for value in (0, -1, 2**30 + 1)),
    *(("chunk_size", value, WHOLE) for value in (4e6, False, "4 MiB", None)),
    *(("parameters", value, "must be 'headers' or 'body', not ") for value in ("header", "", None, ["body"], b"body")),
    *(("on_failure", value, "must be 'keep' or 'cancel', not ") for value in ("delete", "", None, True)),
    *(("verify", value, "must be 'samples' or 'end', not ") for value in ("all", "", None, True)),
    *(
        (name, value, "must be True or False, not ")
        for name in ("journal_required", "trace_ranges")
        for value in (0, 1, "yes", None)
    ),
    *(
        (name, value, f"must be a number of seconds, at least {least:g}, not ")
        for names, least in (
            ("connect_timeout stall_timeout source_timeout flush_after", 0.001),
            ("lease_seconds", 0.1),
        )
        for name in names.split()
        for value in (0, -1.0, float("inf"), float("nan"), "10", None, True)
    ),
    *(
        (name, value, "must be a number of seconds, at least 0, not ")
        for name in ("doubt_patience", "remember")
        for value in (-1.0, float("inf"), float("nan"), "10", None, True)
    ),
    *(
        (name, value, f"must be from {least} to {most}{unit}, not ")
        for name, least, most, unit in (
            ("max_control_connections", 1, 1024, ""),
            ("max_waiting_buffers", 1, 4096, ""),
            ("max_open_files", 1, 2**20, ""),
            ("max_bandwidth", 0, 2**50, " bytes a second"),
            ("max_pending_uploads", 1, 2**31, ""),
        )
        for value in (least - 1, most + 1)
    ),
    *(
        (name, value, WHOLE)
        for name in ["max_waiting_buffers", "max_open_files", "max_bandwidth", "max_pending_uploads"]
        for value in (1.0, True, "8")
    ),
    *(("max_control_connections", value, WHOLE) for value in (1.0, True, "8", None)),
    *(
        ("max_requests_per_second", value, "must be a number above 0, or None, not ")
        for value in (0, -1.0, float("inf"), float("nan"), "10", True)
    ),
]
RETRIES: list[tuple[str, Any, str]] = [
    *(("max_attempts", value, "must be at least 1, not ") for value in (0, -1)),
    *(("max_attempts", value, WHOLE) for value in (8.0, True, "8", None)),
    ("budget", -1, "must be at least 0, not "),
    *(("budget", value, WHOLE) for value in (1.0, False, "1", None)),
    *(
        (name, value, "must be a number of seconds, at least 0, not ")
        for name in ("initial_backoff", "max_backoff", "retry_after_cap", "outage_patience")
        for value in (-0.1, float("inf"), float("nan"), "1", None, False)
    ),
]


@pytest.mark.parametrize(
    ("kind", "name", "value", "problem"),
    [*((UploadOptions, *row) for row in UPLOADS), *((RetryPolicy, *row) for row in RETRIES)],
)
def test_options_that_are_refused(kind: Any, name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**{name: value})
    assert str(caught.value) == f"{name} {problem}{value!r}"
    with pytest.raises(ConfigurationError):
        attrs.evolve(kind(), **{name: value})


def test_every_option_is_checked() -> None:
    for kind, rows in ((UploadOptions, UPLOADS), (RetryPolicy, RETRIES)):
        assert {field.name for field in attrs.fields(kind)} == {name for name, *_ in rows}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (UploadOptions, {"max_workers": 1, "chunk_size": 1, "parameters": "body", "on_failure": "cancel"}),
        (UploadOptions, {"max_workers": 256, "chunk_size": 2**30, "connect_timeout": 0.001, "stall_timeout": 1}),
        (UploadOptions, {"max_bandwidth": 0, "max_requests_per_second": 0.1, "max_pending_uploads": 1}),
        (UploadOptions, {"doubt_patience": 0, "remember": 0, "lease_seconds": 0.1, "verify": "end"}),
        (RetryPolicy, {"max_attempts": 1, "initial_backoff": 0, "max_backoff": 0.0, "budget": 0}),
        (RetryPolicy, {"max_attempts": 10**6, "retry_after_cap": 0, "budget": 10**6}),
    ],
)
def test_options_at_their_bounds(kind: Any, values: dict[str, Any]) -> None:
    options = kind(**values)
    assert {name: getattr(options, name) for name in values} == values


def test_how_long_uploads_are_remembered_as_a_duration() -> None:
    assert UploadOptions(remember=timedelta(days=2)).remember == 2 * 86400.0  # type: ignore[arg-type]


def test_the_policy_of_calls_is_quick_and_allows_no_more() -> None:
    quick = RetryPolicy().for_calls()
    assert (quick.max_attempts, quick.max_backoff, quick.retry_after_cap, quick.outage_patience) == (3, 2.0, 5.0, 5.0)
    strict = RetryPolicy(max_attempts=1, initial_backoff=0.1, max_backoff=0.1, retry_after_cap=0, outage_patience=0)
    assert strict.for_calls() == strict


@pytest.mark.parametrize(
    ("given_", "clean"),
    [
        ("http://a", "http://a"),
        ("https://a.example/", "https://a.example"),
        ("http://127.0.0.1:8000//", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/base/path/", "http://[::1]:8000/base/path"),
        ("HTTPS://A", "HTTPS://A"),
    ],
)
def test_addresses(given_: str, clean: str) -> None:
    endpoints = Endpoints.single(given_)
    assert endpoints.api == endpoints.upload == endpoints.forms == clean
    assert (dict(endpoints.backups), endpoints.fallbacks, endpoints.metadata, endpoints.urls) == ({}, (), None, None)
    assert Endpoints(metadata=given_, urls=given_).metadata == Endpoints(urls=given_).urls == clean
    assert Endpoints(fallbacks=[given_]).fallbacks == (clean,)  # type: ignore[arg-type]
    assert dict(Endpoints(backups={given_: given_}).backups) == {clean: clean}


SCHEME = "must be a URL that begins with http:// or https:// and names a host"
ONLY = "must be an address only: no query, no fragment, and no character that a URL can't hold"
ADDRESSES: list[tuple[Any, str]] = [
    (None, "must be a URL, not NoneType"),
    (7, "must be a URL, not int"),
    (b"http://a", "must be a URL, not bytes"),
    ("", SCHEME),
    ("a.example", SCHEME),
    ("//a.example", SCHEME),
    ("ftp://a", SCHEME),
    ("http://", SCHEME),
    ("http:///x", SCHEME),
    ("http://:80", SCHEME),
    ("http://a:0", SCHEME),
    ("http://a:65536", "is not a URL"),
    ("http://a:x", "is not a URL"),
    ("http://[::1", "is not a URL"),
    ("http://u@a", "must not hold a user name or a password"),
    ("http://u:secret@a", "must not hold a user name or a password"),
    ("http://@a", "must not hold a user name or a password"),
    ("http://a?x=1", ONLY),
    ("http://a/?", ONLY),
    ("http://a?", ONLY),
    ("http://a#x", ONLY),
    ("http://a#", ONLY),
    ("http://a b", ONLY),
    *((f"http://a/{character}", ONLY) for character in '\\"<>^`{|}'),
    ("http://a\n", ONLY),
    ("http://a\r\nX: y", "is not a URL"),
    (" http://a", ONLY),
    ("http://a\x7f", ONLY),
    ("http://爱奇艺", ONLY),
]


@pytest.mark.parametrize(("value", "problem"), ADDRESSES)
def test_addresses_that_are_refused(value: Any, problem: str) -> None:
    for values, name in (
        ({"api": value}, "api"),
        ({"upload": value}, "upload"),
        ({"forms": value}, "forms"),
        ({"fallbacks": (value,)}, "fallbacks"),
        *(({name: value}, name) for name in ("metadata", "urls") if value is not None),
        ({"backups": {"http://a": value}}, "backups"),
        ({"backups": {value: "http://a"}}, "backups"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Endpoints(**values)
        assert str(caught.value) == f"{name} {problem}"
        assert "secret" not in repr(caught.value)


@pytest.mark.parametrize("value", [None, "http://a", [("http://a", "http://b")], 7])
def test_backups_map_one_host_to_another(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^backups must map one upload host to another"):
        Endpoints(backups=value)


@given(st.text() | st.text(alphabet="htps:/[]@.%01a?# \t\n").map("http://".__add__))
def test_an_address_that_passes_has_an_origin(text: str) -> None:
    try:
        clean = config.base_url("p", text)
    except ConfigurationError as error:
        assert str(error).startswith("p ")  # noqa: PT017 - it may pass, too
    else:
        assert origin(clean).startswith(("http://", "https://"))
        assert not clean.endswith("/")
        assert origin(f"{clean}/openupload") == origin(clean)


def test_what_is_exported() -> None:
    assert config.__all__ == ["Endpoints", "RetryPolicy", "UploadOptions"]

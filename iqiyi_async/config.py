"""How a client behaves: options that are checked when they are made, so that a wrong one fails before any request.

What belongs here: numbers and addresses, each with its unit and the reason for its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, Self, cast
from urllib.parse import urlsplit

import attrs

from . import _validation
from ._addresses import NOT_IN_URLS, problem_of
from .errors import ConfigurationError

__all__ = ["Endpoints", "RetryPolicy", "UploadOptions"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

#: Paths and queries are put behind a base address.
MAX_BASE = 1024


def base_url(name: str, value: object) -> str:
    """An http(s) address that paths can be put behind, without a trailing slash."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a URL, not {type(value).__name__}")
    if len(value) > MAX_BASE:
        raise ConfigurationError(f"{name} has {len(value)} characters; the most is {MAX_BASE}")
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ConfigurationError(f"{name} must be a URL that begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{name} must not hold a user name or a password")
    if not value.isascii() or not value.isprintable() or any(c in value for c in f"{NOT_IN_URLS}?#"):
        only = "no query, no fragment, and no character that a URL can't hold"
        raise ConfigurationError(f"{name} must be an address only: {only}")
    problem = problem_of(value)
    if problem is not None:
        raise ConfigurationError(f"{name} is refused: {problem}")
    return value.rstrip("/")


def _api(value: object) -> str:
    return base_url("api", value)


def _upload(value: object) -> str:
    return base_url("upload", value)


def _forms(value: object) -> str:
    return base_url("forms", value)


def _metadata(value: object) -> str | None:
    return None if value is None else base_url("metadata", value)


def _urls(value: object) -> str | None:
    return None if value is None else base_url("urls", value)


def _fallbacks(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError("fallbacks must be a collection of URLs, such as ('http://a', 'http://b')")
    return tuple(base_url("fallbacks", each) for each in cast("Iterable[object]", value))


def _backups(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigurationError("backups must map one upload host to another, such as {'http://a': 'http://b'}")
    pairs = cast("Mapping[object, object]", value).items()
    return {base_url("backups", host): base_url("backups", backup) for host, backup in pairs}


@attrs.frozen
class Endpoints:
    """Where the service lives.

    All but the hosts of ranges (`backups`, `fallbacks`) may get the token.

    Attributes:
        api: authorizing, metadata, status, listing, URLs, deletion. The document shows https for authorizing, the
            renewal of tokens, status, listing and deletion; `metadata` and `urls` can be moved alone.
        upload: request, finish and cancel of an upload; plain http is what the document gives.
        backups: for an upload host, the host that takes its ranges when it is down.
        forms: request, finish and cancel of an upload with ``parameters="body"``, in place of `upload`.
        fallbacks: hosts that take the ranges of an upload whose address stays unreachable, in order.
        metadata: setting metadata (section 1.5), in place of `api`.
        urls: lists of play URLs (section 6), in place of `api`.

    Raises:
        ConfigurationError: not an http(s) address, or one with a user name, query or fragment.
    """

    api: str = attrs.field(default="https://openapi.iqiyi.com", converter=_api)
    upload: str = attrs.field(default="http://upload.iqiyi.com", converter=_upload)
    backups: Mapping[str, str] = attrs.field(
        default={"http://qichuan.iqiyi.com": "http://qc.iqiyi.com"}, converter=_backups, hash=False
    )
    forms: str = attrs.field(default="http://qichuan.iqiyi.com", converter=_forms)
    fallbacks: tuple[str, ...] = attrs.field(
        default=("http://qichuan.iqiyi.com", "http://qc.iqiyi.com"), converter=_fallbacks
    )
    metadata: str | None = attrs.field(default=None, converter=_metadata)
    urls: str | None = attrs.field(default=None, converter=_urls)

    @classmethod
    def single(cls, base: str) -> Self:
        """Everything on one address: an emulator, a proxy of your own.

        Args:
            base: the address, such as ``http://127.0.0.1:8765``.

        Returns:
            Endpoints without other hosts to fall back to.

        Raises:
            ConfigurationError: not an http(s) address.
        """
        return cls(api=base, upload=base, backups={}, forms=base, fallbacks=())


@attrs.frozen
class RetryPolicy:
    """When a request is sent again, and when it is given up.

    Before its n-th repetition a request waits a random time up to ``min(max_backoff, initial_backoff * 2 ** (n -
    1))`` (full jitter), or as long as the service asks with ``Retry-After``, up to `retry_after_cap`.

    Attributes:
        max_attempts: sends of one request without any progress of its upload between them; 1 means never again.
        initial_backoff: upper bound of the first wait, in seconds.
        max_backoff: upper bound of any wait, in seconds.
        retry_after_cap: the longest ``Retry-After`` that is obeyed, in seconds; a longer one is cut to it.
        budget: repetitions that the whole client may spend without success. Each costs 1, each success gives back
            0.1, so that an outage is not multiplied by everyone's retries.
        outage_patience: how long a call waits, with all others of its client, for a service that is down, in seconds.

    Raises:
        ConfigurationError: a value out of its bounds.
    """

    max_attempts: int = attrs.field(
        default=8, validator=_validation.field(lambda name, value: _validation.whole(name, value, least=1))
    )
    initial_backoff: float = attrs.field(default=0.5, validator=_validation.field(_validation.seconds))
    max_backoff: float = attrs.field(default=20.0, validator=_validation.field(_validation.seconds))
    retry_after_cap: float = attrs.field(default=120.0, validator=_validation.field(_validation.seconds))
    budget: int = attrs.field(
        default=100, validator=_validation.field(lambda name, value: _validation.whole(name, value, least=0))
    )
    outage_patience: float = attrs.field(default=600.0, validator=_validation.field(_validation.seconds))

    def for_calls(self) -> RetryPolicy:
        """The policy of interactive calls: three attempts within a few seconds, and no more than this one
        allows."""
        return attrs.evolve(
            self,
            max_attempts=min(self.max_attempts, 3),
            initial_backoff=min(self.initial_backoff, 0.25),
            max_backoff=min(self.max_backoff, 2.0),
            retry_after_cap=min(self.retry_after_cap, 5.0),
            outage_patience=min(self.outage_patience, 5.0),
        )


def _optional_whole(*, least: int, most: int, unit: str = "") -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(name: str, value: object) -> None:
        if value is not None:
            _validation.whole(name, value, least=least, most=most, unit=unit)

    return _validation.field(check)


def _rate(name: str, value: object) -> None:
    if value is not None and not (not isinstance(value, bool) and isinstance(value, int | float) and 0 < value < 1e9):
        raise ConfigurationError(f"{name} must be a number above 0, or None, not {value!r}")


_optional_rate = _validation.field(_rate)


def _remember(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return _validation.seconds("remember", seconds)


def _auto_or_whole(name: str, value: object, *, most: int, unit: str = "") -> None:
    if value != "auto":
        _validation.whole(name, value, least=1, most=most, unit=unit)


@attrs.frozen
class UploadOptions:
    """How files are cut and sent.

    A client needs at most ``(max_workers + max_waiting_buffers) x chunk_size`` bytes for its buffers, for files of any
    size and number.

    Attributes:
        max_workers: chunks in flight at once, over all uploads of the client (1 to 256); ``"auto"`` finds out how
            many the link can use, up to 16.
        chunk_size: bytes of one range (1 to 1 GiB); the last one of a file may be shorter. ``"auto"`` follows the
            link: 256 KiB to 16 MiB, and never more than 64 MiB in all.
        parameters: how the requests of an upload (1.1 to 1.4) say what they are about: ``"headers"``, as documented
            first, or ``"body"``, as form fields with ``?type=body``, for a proxy on the way that drops headers with
            underscores (nginx does by default).
        on_failure: what becomes of a failed or cancelled upload at the service: ``"keep"`` it, to resume later, or
            ``"cancel"`` it.
        max_control_connections: connections for everything but ranges, at most (1 to 1024); they are kept per host.
        source_timeout: the longest time for which a source may give nothing, in seconds.
        max_waiting_buffers: how many chunks may wait in memory for a worker, beside those under way; as many as
            there are workers if None. The memory bound is ``(max_workers + max_waiting_buffers) x chunk_size``.
        flush_after: after so many seconds without a piece, what a stream has given is sent as a short range.
        max_open_files: files held open at once; by default from the limit of the process.
        journal_required: whether an upload fails if its journal fails before anything was sent; otherwise it goes on
            without the journal, and logs a warning.
        remember: how long a finished upload is remembered, so that it is not published twice, in seconds (or a
            `datetime.timedelta`); 30 days by default.
        lease_seconds: how long a process that died keeps others from its uploads, in seconds.
        doubt_patience: how long the status is asked for after a finish of unknown outcome, in seconds.
        verify: what of an unchanged file is read again before finish: ``"samples"``, or everything (``"end"``), for
            file systems whose caches hide changes.
        max_bandwidth: bytes a second over all uploads of the client; no limit if None, a pause if 0.
        max_requests_per_second: requests of any kind, repeats and polls included; no limit if None.
        max_pending_uploads: beyond so many uploads under way a further one is refused at once; no limit if None.
        trace_ranges: whether each range has an OpenTelemetry span of its own; a large upload has very many.
        connect_timeout: for one connection to be made, in seconds.
        stall_timeout: the longest silence of a connection, in seconds. For the answer to a chunk the time is added
            that a slow link needs for what is still in the system's buffers.

    Raises:
        ConfigurationError: a value out of its bounds.
    """

    max_workers: int | Literal["auto"] = attrs.field(
        default=8, validator=_validation.field(lambda name, value: _auto_or_whole(name, value, most=256))
    )
    chunk_size: int | Literal["auto"] = attrs.field(
        default=4 * MIB,
        validator=_validation.field(lambda name, value: _auto_or_whole(name, value, most=GIB, unit="bytes")),
    )
    parameters: Literal["headers", "body"] = attrs.field(
        default="headers",
        validator=_validation.field(lambda name, value: _validation.one_of(name, value, "headers", "body")),
    )
    on_failure: Literal["keep", "cancel"] = attrs.field(
        default="keep",
        validator=_validation.field(lambda name, value: _validation.one_of(name, value, "keep", "cancel")),
    )
    max_control_connections: int = attrs.field(
        default=64, validator=_validation.field(lambda name, value: _validation.whole(name, value, least=1, most=1024))
    )
    source_timeout: float = attrs.field(
        default=60.0, validator=_validation.field(lambda name, value: _validation.seconds(name, value, least=0.001))
    )
    max_waiting_buffers: int | None = attrs.field(default=None, validator=_optional_whole(least=1, most=4096))
    flush_after: float = attrs.field(
        default=5.0, validator=_validation.field(lambda name, value: _validation.seconds(name, value, least=0.001))
    )
    max_open_files: int | None = attrs.field(default=None, validator=_optional_whole(least=1, most=2**20))
    journal_required: bool = attrs.field(default=True, validator=_validation.field(_validation.boolean))
    remember: float = attrs.field(default=30 * 86400.0, converter=_remember)
    lease_seconds: float = attrs.field(
        default=60.0, validator=_validation.field(lambda name, value: _validation.seconds(name, value, least=0.1))
    )
    doubt_patience: float = attrs.field(default=30.0, validator=_validation.field(_validation.seconds))
    verify: Literal["samples", "end"] = attrs.field(
        default="samples",
        validator=_validation.field(lambda name, value: _validation.one_of(name, value, "samples", "end")),
    )
    max_bandwidth: int | None = attrs.field(
        default=None, validator=_optional_whole(least=0, most=2**50, unit="bytes a second")
    )
    max_requests_per_second: float | None = attrs.field(default=None, validator=_optional_rate)
    max_pending_uploads: int | None = attrs.field(default=None, validator=_optional_whole(least=1, most=2**31))
    trace_ranges: bool = attrs.field(default=False, validator=_validation.field(_validation.boolean))
    connect_timeout: float = attrs.field(
        default=10.0, validator=_validation.field(lambda name, value: _validation.seconds(name, value, least=0.001))
    )
    stall_timeout: float = attrs.field(
        default=30.0, validator=_validation.field(lambda name, value: _validation.seconds(name, value, least=0.001))
    )

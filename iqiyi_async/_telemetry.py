"""What a client tells OpenTelemetry: spans and metrics of its calls and uploads. The only import of its API.

Without the API installed nothing is told, and without an SDK the API does nothing. No URL, no query, no header and no
text of an error leaves here: only names, numbers and hosts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ._outage import GateClosedError
from .errors import AuthorizationError, ServiceError, VideoCloudError
from .protocol import hosts
from .protocol.wire import Request

SCOPE = "iqiyi_async"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: While nothing listens, one looks whether something has begun to so often at most, in seconds; and at each upload.
LISTENING_SECONDS = 0.1
#: The buckets that the conventions name for durations of requests, in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Span:
    """What is told of one thing while it goes on."""

    def set(self, **attributes: str | float | bool | None) -> None:
        """Set own attributes: ``file_id="..."`` is ``iqiyi.file_id``. None says nothing."""

    def answered(self, status: int) -> None:
        """The service has answered with an HTTP status."""


_SILENCE: AbstractContextManager[Span] = nullcontext(Span())
#: What a code of the service looks like; anything else is a text.
_CODE = re.compile(r"[A-Z][0-9]{4,6}|HTTP [0-9]{3}")


class _RealSpan(Span):
    def __init__(self, span: Any, attributes: dict[str, str | int | float | bool]) -> None:
        self._span = span
        self.attributes = attributes

    def set(self, **attributes: str | float | bool | None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"iqiyi.{name}", value)

    def answered(self, status: int) -> None:
        self.attributes["http.response.status_code"] = status
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self.attributes["error.type"] = str(status)


class Telemetry:
    """The spans and metrics of one client.

    Args:
        ranges: whether each range of an upload has a span of its own; a large upload has very many.
        tracer_provider: in place of the global one.
        meter_provider: in place of the global one.
        clock: seconds, for durations.
    """

    def __init__(
        self,
        *,
        ranges: bool = False,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._ranges = ranges
        self._clock = clock
        self._instruments: _Instruments | None = None
        #: Whether anything listens for certain: a provider was given, or one was seen.
        self._heard = tracer_provider is not None or meter_provider is not None
        self._look_again = clock()
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            return
        self._providers = trace.get_tracer_provider, metrics.get_meter_provider
        tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider, schema_url=SCHEMA_URL)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA_URL)
        self._instruments = _Instruments(tracer, meter, trace.SpanKind, trace.Status(trace.StatusCode.ERROR))

    def call(self, operation: str, request: Request, *, file_id: str | None = None) -> AbstractContextManager[Span]:
        """A span of kind CLIENT and a duration for one request, by the conventions for HTTP clients.

        Args:
            operation: such as ``request_upload``.
            request: what goes out; of its URL only host and port are told.
            file_id: what it is about, if that is known.
        """
        instruments = self._listening()
        if instruments is None:
            return _SILENCE
        return self._call(instruments, operation, request, file_id)

    def upload(self, *, size: int, file_type: str) -> AbstractContextManager[Span]:
        """A span for one upload; it counts as active while the block lasts.

        Args:
            size: of the source, in bytes.
            file_type: such as ``mp4``.
        """
        instruments = self._listening(look=True)
        if instruments is None:
            return _SILENCE
        return self._upload(instruments, size, file_type)

    @contextmanager
    def active(self) -> Generator[None, None, None]:
        """Count an upload as under way while the block lasts."""
        instruments = self._instruments
        if instruments is not None:
            instruments.active.add(1)
        try:
            yield
        finally:
            if instruments is not None:
                instruments.active.add(-1)

    def range(self, first: int, size: int) -> AbstractContextManager[Span]:
        """A span for one range, with all of its attempts, if spans of ranges are on.

        Args:
            first: index of its first byte.
            size: bytes.
        """
        instruments = self._listening() if self._ranges else None
        if instruments is None:
            return _SILENCE
        attributes: dict[str, str | int | float | bool] = {"iqiyi.range.first": first, "iqiyi.range.size": size}
        return self._span(instruments, "range", attributes)

    def accepted(self, size: int) -> None:
        """So many bytes more were accepted by the service."""
        if self._heard and self._instruments is not None:
            self._instruments.bytes.add(size)

    def retried(self, error: VideoCloudError) -> None:
        """A call will be sent again because of an error."""
        if self._heard and self._instruments is not None:
            self._instruments.retries.add(1, {"iqiyi.operation": error.operation or "", "error.type": _type_of(error)})

    def hedged(self) -> None:
        """A range that was late was sent once more beside it."""
        if self._heard and self._instruments is not None:
            self._instruments.hedges.add(1)

    def waited(self, cause: str, seconds: float) -> None:
        """An upload has waited.

        Args:
            cause: a `Bottleneck`.
            seconds: for how long.
        """
        if self._heard and self._instruments is not None:
            self._instruments.waiting.record(seconds, {"iqiyi.cause": cause})

    def _listening(self, *, look: bool = False) -> _Instruments | None:
        """The instruments, if anything may listen. Until a program has set up an SDK, those of the API do nothing, and
        take as long for it as the rest of a call."""
        if self._instruments is None or self._heard:
            return self._instruments
        now = self._clock()
        if now < self._look_again and not look:
            return None
        self._look_again = now + LISTENING_SECONDS
        tracing, metering = self._providers
        self._heard = not (_is_proxy(tracing()) and _is_proxy(metering()))
        return self._instruments if self._heard else None

    @contextmanager
    def _call(
        self, instruments: _Instruments, operation: str, request: Request, file_id: str | None
    ) -> Generator[Span, None, None]:
        where = hosts.address(request.url)
        attributes: dict[str, str | int | float | bool] = {
            "http.request.method": request.method,
            "server.address": where.host,
            "server.port": where.port,
            "url.scheme": where.scheme,
            "network.protocol.version": "1.1",
            "iqiyi.operation": operation,
        }
        more = {**attributes, "iqiyi.file_id": file_id} if file_id else attributes
        began = self._clock()
        seen: _RealSpan | None = None
        try:
            with self._span(instruments, request.method, more, kind=instruments.kinds.CLIENT) as seen:
                yield seen
        finally:
            # What was held back at a gate was no request.
            if seen is not None and seen.attributes.get("error.type") != GateClosedError.__name__:
                outcome = {name: seen.attributes[name] for name in _OUTCOME if name in seen.attributes}
                instruments.duration.record(self._clock() - began, {**attributes, **outcome})

    @contextmanager
    def _upload(self, instruments: _Instruments, size: int, file_type: str) -> Generator[Span, None, None]:
        attributes: dict[str, str | int | float | bool] = {"iqiyi.size": size, "iqiyi.file_type": file_type}
        with self.active(), self._span(instruments, "upload", attributes) as span:
            yield span

    @contextmanager
    def _span(
        self,
        instruments: _Instruments,
        name: str,
        attributes: dict[str, str | int | float | bool],
        kind: Any = None,
    ) -> Generator[_RealSpan, None, None]:
        # Exceptions are not recorded: their texts and frames are for the program that gets them.
        with instruments.tracer.start_as_current_span(
            name,
            kind=instruments.kinds.INTERNAL if kind is None else kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            made = _RealSpan(span, dict(attributes))
            try:
                yield made
            except BaseException as problem:
                made.attributes.setdefault("error.type", _type_of(problem))
                if isinstance(problem, ServiceError | AuthorizationError) and _CODE.fullmatch(problem.code or ""):
                    span.set_attribute("iqiyi.code", problem.code)
                raise
            finally:
                if "error.type" in made.attributes:
                    span.set_attribute("error.type", made.attributes["error.type"])
                    span.set_status(instruments.failed)


_OUTCOME = ("http.response.status_code", "error.type")


class _Instruments:
    """What the API has made for a client."""

    def __init__(self, tracer: Any, meter: Any, kinds: Any, failed: Any) -> None:
        self.tracer = tracer
        self.kinds = kinds
        self.failed = failed
        self.duration: Any = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.bytes: Any = meter.create_counter(
            "iqiyi.upload.bytes", unit="By", description="Bytes of ranges that the service has accepted."
        )
        self.active: Any = meter.create_up_down_counter(
            "iqiyi.upload.active", unit="{upload}", description="Uploads under way."
        )
        self.waiting: Any = meter.create_histogram(
            "iqiyi.upload.waiting_time",
            unit="s",
            description="How long uploads have waited, by cause.",
            explicit_bucket_boundaries_advisory=(0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0),
        )
        self.retries: Any = meter.create_counter("iqiyi.retries", unit="{request}", description="Calls sent again.")
        self.hedges: Any = meter.create_counter(
            "iqiyi.hedges", unit="{request}", description="Late ranges sent once more beside the first."
        )


def _is_proxy(provider: object) -> bool:
    """Whether it is what the API has in place of a provider that was never set. One of these classes has no public
    name."""
    return type(provider).__name__ in ("ProxyTracerProvider", "_ProxyMeterProvider")


def _type_of(problem: BaseException) -> str:
    return type(problem).__name__

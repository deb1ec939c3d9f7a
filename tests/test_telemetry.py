"""What OpenTelemetry is told: spans and metrics by the HTTP conventions, and no secret in any of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    Metadata,
    RetryPolicy,
    ServiceError,
    UploadOptions,
)
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, ThreadedEmulatorServer
from iqiyi_async.models import ClientStats

pytest.importorskip("opentelemetry.sdk")
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytestmark = pytest.mark.anyio
CHUNK = 64 * 1024


@attrs.frozen
class Told:
    """What was exported."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        return [each for each in self.exporter.get_finished_spans() if name in (None, each.name)]

    def calls(self) -> list[ReadableSpan]:
        return [each for each in self.spans() if each.kind is trace.SpanKind.CLIENT]

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def texts(self) -> str:
        data = self.reader.get_metrics_data()
        return "".join(each.to_json() for each in self.spans()) + ("" if data is None else data.to_json())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Providers for one test: the API's own can be set only once in a process."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_tracer_provider", lambda: meters, raising=False)
    get_meter = metrics.get_meter
    monkeypatch.setattr(
        metrics,
        "get_meter",
        lambda name, meter_provider=None, **more: get_meter(name, meter_provider=meter_provider or meters, **more),
    )
    yield Told(exporter, reader)
    tracers.shutdown()
    meters.shutdown()


def cloud(server: ThreadedEmulatorServer, **options: Any) -> AsyncVideoCloud:
    return AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(server.endpoint_url),
        options=UploadOptions(max_workers=2, chunk_size=CHUNK, **options),
        retry=RetryPolicy(initial_backoff=0.001, max_backoff=0.002),
    )


async def test_an_upload_and_its_calls(iqiyi_emulator: ThreadedEmulatorServer, told: Told) -> None:
    async with cloud(iqiyi_emulator) as client:
        receipt = await client.upload(b"x" * (3 * CHUNK), Metadata("Film"), file_type="mp4")
    (upload,) = told.spans("upload")
    assert upload.attributes is not None
    assert upload.attributes["iqiyi.file_id"] == receipt.file_id
    assert upload.attributes["iqiyi.size"] == 3 * CHUNK
    assert told.spans("range") == []
    ranges = [each for each in told.calls() if (each.attributes or {})["iqiyi.operation"] == "upload_chunk"]
    assert len(ranges) == 3
    for each in told.calls():
        attributes = each.attributes or {}
        assert each.name == attributes["http.request.method"]
        assert attributes["server.address"] == "127.0.0.1"
        assert attributes["server.port"] == int(iqiyi_emulator.endpoint_url.rpartition(":")[2])
        assert attributes["http.response.status_code"] == 200
        assert "url.full" not in attributes
        assert each.status.is_ok or each.status.is_unset
    assert all(each.context and upload.context and each.context.trace_id == upload.context.trace_id for each in ranges)
    assert all(each.parent and upload.context and each.parent.span_id == upload.context.span_id for each in ranges)
    assert sum(point.count for point in told.points("http.client.request.duration")) == len(told.calls())
    assert [point.value for point in told.points("iqiyi.upload.bytes")] == [3 * CHUNK]
    assert [point.value for point in told.points("iqiyi.upload.active")] == [0]


async def test_spans_of_ranges(iqiyi_emulator: ThreadedEmulatorServer, told: Told) -> None:
    async with cloud(iqiyi_emulator, trace_ranges=True) as client:
        await client.upload(b"x" * (2 * CHUNK), Metadata("Film"), file_type="mp4")
    (upload,) = told.spans("upload")
    ranges = {each.context.span_id: each for each in told.spans("range") if each.context}
    assert sorted((each.attributes or {})["iqiyi.range.first"] for each in ranges.values()) == [0, CHUNK]
    assert all(
        each.parent and upload.context and each.parent.span_id == upload.context.span_id for each in ranges.values()
    )
    sent = [each for each in told.calls() if (each.attributes or {})["iqiyi.operation"] == "upload_chunk"]
    assert {each.parent.span_id for each in sent if each.parent} == set(ranges)


async def test_the_callers_span_is_the_parent(iqiyi_emulator: ThreadedEmulatorServer, told: Told) -> None:
    tracer = trace.get_tracer("test")
    async with cloud(iqiyi_emulator) as client:
        with tracer.start_as_current_span("mine") as mine:
            handle = client.start_upload(b"x" * CHUNK, Metadata("Film"), file_type="mp4")
        await handle
    (upload,) = told.spans("upload")
    assert upload.parent is not None
    assert upload.parent.span_id == mine.get_span_context().span_id


async def test_errors_and_retries(iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: Any, told: Told) -> None:
    iqiyi_faults.add(Fault(operation="upload_chunk", call=1, status=503))
    async with cloud(iqiyi_emulator) as client:
        await client.upload(b"x" * CHUNK, Metadata("Film"), file_type="mp4")
        with pytest.raises(ServiceError):
            await client.cancel_upload("0" * 32)
    failed = [each for each in told.calls() if not each.status.is_ok and "error.type" in (each.attributes or {})]
    assert {(each.attributes or {})["error.type"] for each in failed} >= {"503", "ServiceError"}
    assert "A00005" in {(each.attributes or {}).get("iqiyi.code") for each in failed}
    assert all(each.status.description is None for each in failed)
    assert all(not each.events for each in told.spans())
    (point,) = told.points("iqiyi.retries")
    assert point.value == 1
    assert point.attributes["iqiyi.operation"] == "upload_chunk"
    assert point.attributes["error.type"] == "ServiceUnavailableError"


async def test_no_secret_is_told(iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: Any, told: Told) -> None:
    iqiyi_faults.add(Fault(operation="get_status", call=1, token="expired"))
    async with cloud(iqiyi_emulator) as client:
        token = await client.authorize()
        receipt = await client.upload(b"x" * CHUNK, Metadata("Film"), file_type="mp4")
        await client.get_status(receipt.file_id)
        token_after = await client.authorize()
    texts = told.texts()
    assert receipt.file_id in texts
    for secret in (DEFAULT_APP_SECRET, token.access_token, token.refresh_token, token_after.access_token):
        assert secret is not None
        assert secret not in texts
    assert "access_token" not in texts
    assert "Film" not in texts


def test_without_the_api_nothing_is_told() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from iqiyi_async._telemetry import Telemetry\n"
        "told = Telemetry()\n"
        "with told.upload(size=1, file_type='mp4') as span, told.range(0, 1) as part:\n"
        "    span.set(file_id='x'); part.answered(200)\n"
        "told.accepted(1); told.hedged(); told.waited('source', 1.0); print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "fine"


def test_an_sdk_that_is_set_up_later_is_told() -> None:
    """A client may be made before the application has set up its SDK."""
    script = (
        "from opentelemetry import metrics, trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "from iqiyi_async._telemetry import Telemetry\n"
        "told = Telemetry()\n"
        "with told.upload(size=1, file_type='mp4'):\n"
        "    pass\n"
        "told.accepted(1)\n"
        "spans, provider = InMemorySpanExporter(), TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(spans))\n"
        "trace.set_tracer_provider(provider)\n"
        "with told.upload(size=2, file_type='mp4') as span:\n"
        "    span.set(file_id='x')\n"
        "print([dict(each.attributes) for each in spans.get_finished_spans()])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[{'iqiyi.size': 2, 'iqiyi.file_type': 'mp4', 'iqiyi.file_id': 'x'}]"


async def test_an_upload_through_the_gateway(iqiyi_emulator: ThreadedEmulatorServer, told: Told) -> None:
    pytest.importorskip("starlette")
    import httpx

    from iqiyi_async.web import TusGateway

    seen: list[ClientStats] = []

    async def on_create(request: Any, upload: Any) -> Metadata:
        return Metadata("Film")

    async def on_finish(upload: Any, receipt: Any) -> None:
        seen.append(client.stats())

    film, tus = b"x" * (3 * CHUNK), {"Tus-Resumable": "1.0.0"}
    async with cloud(iqiyi_emulator, trace_ranges=True) as client:
        gateway = TusGateway(client, on_create=on_create, on_finish=on_finish)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://here") as browser:
            made = await browser.post("/", headers={**tus, "Upload-Length": str(len(film))})
            body = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            with trace.get_tracer("test", tracer_provider=trace.get_tracer_provider()).start_as_current_span("PATCH"):
                answer = await browser.patch(made.headers["Location"], content=film, headers={**tus, **body})
        await gateway.aclose()
    assert answer.status_code == 204
    assert (seen[0].active, seen[0].bytes_per_second > 0) == (1, True)
    assert sum(point.value for point in told.points("iqiyi.upload.bytes")) == len(film)
    assert [point.value for point in told.points("iqiyi.upload.active")] == [0]
    (request,) = told.spans("PATCH")
    assert sorted((each.attributes or {})["iqiyi.range.size"] for each in told.spans("range")) == [CHUNK] * 3
    assert {each.context.trace_id for each in told.spans("range")} == {request.context.trace_id}

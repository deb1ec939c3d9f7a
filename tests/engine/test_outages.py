"""While the service is down its client waits as one, and no loop repeats what another has given up."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from iqiyi_async import RetryPolicy, ServiceUnavailableError, TransportError, UploadError, VideoCloudError

from .servers import Asked, Cut, Service, answer
from .tools import NAME, cloud, content, in_time

pytestmark = pytest.mark.anyio

#: As by default, but a hundred times as fast.
FAST = RetryPolicy(initial_backoff=0.005, max_backoff=0.2, outage_patience=6.0)
BUSY = answer({}, status="503 Busy")
#: What a service that is down may answer, or what stands before it.
ANSWERS = {
    "503": BUSY,
    "500": answer({}, status="500 Failed"),
    "429": answer({}, status="429 Slowly"),
    "page": answer(body=b"<html>we are back soon</html>"),
    "bad gateway": answer(body=b"<html>bad gateway</html>", status="502 Bad Gateway"),
    "code": answer({"code": "Q00001"}, status="503 Busy"),
}


class Outage:
    """A service that is down for some seconds from a moment on."""

    def __init__(self, service: Service, how: str) -> None:
        self.requests = 0
        self._how = how
        self._until = 0.0
        for operation in ("authorize", "request_upload", "upload_chunk", "set_metadata", "finish_upload", "get_status"):
            service.hooks[operation] = self._answer

    def begin(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    async def _answer(self, asked: Asked) -> bytes | None:
        if time.monotonic() >= self._until:
            return None
        self.requests += 1
        if self._how in ANSWERS:
            return ANSWERS[self._how]
        raise Cut(reset=self._how == "reset")


@pytest.mark.parametrize("how", [*ANSWERS, "closed", "reset"])
@pytest.mark.parametrize(("at_once", "seconds"), [(16, 1.0), (200, 0.3)])
async def test_an_outage_loses_no_upload(service: Service, how: str, at_once: int, seconds: float) -> None:
    outage = Outage(service, how)
    places = asyncio.Semaphore(at_once)

    async def one(client: Any) -> None:
        async with places:
            await client.upload(content(100), NAME, file_type="mp4")

    async with cloud(service.url, retry=FAST) as client:
        await client.authorize()
        outage.begin(seconds)
        await in_time(asyncio.gather(*(one(client) for _ in range(200))), 20)
    assert len(service.published) == 200
    # Those that were under way when it began, those that closed the gate, and the probes.
    assert outage.requests < 64 + 40


async def test_an_outage_from_the_first_request_on(service: Service) -> None:
    """All wait for one token."""
    outage = Outage(service, "503")
    outage.begin(1.0)
    async with cloud(service.url, retry=FAST) as client:
        await in_time(asyncio.gather(*(client.upload(content(100), NAME, file_type="mp4") for _ in range(50))), 20)
    assert len(service.published) == 50
    assert outage.requests < 40


async def test_patience_has_an_end(service: Service) -> None:
    outage = Outage(service, "503")
    outage.begin(60)
    patience = RetryPolicy(initial_backoff=0.005, max_backoff=0.05, outage_patience=0.5)
    async with cloud(service.url, retry=patience) as client:
        began = time.perf_counter()
        ends = await asyncio.gather(
            *(client.upload(content(100), NAME, file_type="mp4") for _ in range(20)), return_exceptions=True
        )
        assert 0.4 < time.perf_counter() - began < 3
    assert all(isinstance(end, ServiceUnavailableError) and end.retryable for end in ends), ends


async def test_a_single_call_ends_after_its_attempts(service: Service) -> None:
    async def busy(asked: Asked) -> bytes:
        return BUSY

    service.hooks["request_upload"] = busy
    async with cloud(service.url, retry=RetryPolicy(max_attempts=8, initial_backoff=0.001)) as client:
        with pytest.raises(ServiceUnavailableError):
            await in_time(client.upload(content(100), NAME, file_type="mp4"))
    assert service.count("request_upload") == 8


@pytest.mark.parametrize("operation", ["get_status", "upload"])
async def test_token_that_can_not_be_had_is_asked_for_by_one_loop(service: Service, operation: str) -> None:
    async def busy(asked: Asked) -> bytes:
        return BUSY

    service.hooks["authorize"] = busy
    async with cloud(service.url, retry=RetryPolicy(max_attempts=8, initial_backoff=0.001)) as client:
        with pytest.raises(ServiceUnavailableError) as caught:
            if operation == "upload":
                await in_time(client.upload(content(10), NAME, file_type="mp4"))
            else:
                await in_time(client._runtime.session.send(status_call(client), interactive=True))
    assert service.count("authorize") == (8 if operation == "upload" else 3)
    assert caught.value.operation == "authorize"


async def test_interactive_calls_end_within_seconds(service: Service) -> None:
    async def busy(asked: Asked) -> bytes:
        return BUSY

    service.hooks["authorize"] = busy
    async with cloud(service.url, retry=RetryPolicy()) as client:
        began = time.perf_counter()
        with pytest.raises(ServiceUnavailableError):
            await client._runtime.session.send(status_call(client), interactive=True)
        assert time.perf_counter() - began < 3


async def test_status_that_can_not_be_had_after_a_lost_finish(service: Service) -> None:
    async def lost(asked: Asked) -> bytes:
        raise Cut

    async def busy(asked: Asked) -> bytes:
        return BUSY

    service.hooks["finish_upload"], service.hooks["get_status"] = lost, busy
    async with cloud(service.url, retry=RetryPolicy(max_attempts=8, initial_backoff=0.001)) as client:
        with pytest.raises(UploadError):
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert service.count("finish_upload") == 1
    assert service.count("get_status") <= 8


async def test_lost_authorize_is_no_doubt_about_finish(service: Service) -> None:
    """Whatever became of the request for another token, the finish itself was refused."""

    async def refused(asked: Asked) -> bytes:
        return answer({}, status="401 Unauthorized")

    async def lost(asked: Asked) -> bytes | None:
        if service.count("refresh_token") == 0:
            return None
        raise Cut

    service.hooks["finish_upload"] = refused
    service.hooks["authorize"] = service.hooks["refresh_token"] = lost
    async with cloud(service.url, retry=RetryPolicy(max_attempts=2, initial_backoff=0.001)) as client:
        with pytest.raises(UploadError):
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert service.count("finish_upload") == 1
    assert service.count("get_status") == 0


async def test_a_call_may_bring_its_own_limit(service: Service) -> None:
    outage = Outage(service, "503")
    async with cloud(service.url, retry=RetryPolicy(initial_backoff=0.01)) as client:
        await client.authorize()
        outage.begin(0.5)
        others = [asyncio.ensure_future(client.upload(content(9), NAME, file_type="mp4")) for _ in range(8)]
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.upload(content(9), NAME, file_type="mp4")
        await in_time(asyncio.gather(*others), 10)


@pytest.mark.parametrize("seed", range(5))
async def test_callers_that_give_up_leave_no_gate_shut(service: Service, seed: int) -> None:
    """Probes and those who wait are cancelled at random: the others get through all the same."""
    chance = random.Random(seed)
    outage = Outage(service, "503")
    async with cloud(service.url, retry=FAST) as client:
        await client.authorize()
        outage.begin(0.4)
        tasks = [asyncio.ensure_future(client.upload(content(9), NAME, file_type="mp4")) for _ in range(60)]
        for task in chance.sample(tasks, 30):
            await asyncio.sleep(0.01)
            task.cancel()
        ends = await in_time(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert sum(not isinstance(end, BaseException) for end in ends) >= 30
        assert not any(isinstance(end, VideoCloudError) for end in ends)
        gate = client._runtime.session._outage.service
        await client.get_status("f")
        assert not gate.closed
        assert gate.unused


async def test_a_host_that_is_down_holds_up_its_own_uploads_only(service: Service) -> None:
    async with Service() as other:

        async def cut(asked: Asked) -> bytes:
            raise Cut

        other.hooks["upload_chunk"] = cut
        async with cloud(service.url, retry=FAST, max_workers=2) as client:
            bad = []
            for number in range(6):
                other.files[f"b{number}"] = bytearray(100)
                ticket = await client.request_upload("mp4", 100)
                bad.append(ticket.__class__(f"b{number}", f"{other.url}/upload", 100))
            waiting = [asyncio.ensure_future(client.upload_chunk(ticket, 0, bytes(100))) for ticket in bad]
            await asyncio.sleep(0.3)
            assert client._runtime.session.is_down(f"{other.url}/upload")
            await in_time(client.upload(content(500_000), NAME, file_type="mp4"), 2)
            del other.hooks["upload_chunk"]
            await in_time(asyncio.gather(*waiting))


async def test_refused_connections_are_an_outage_too(service: Service) -> None:
    async with cloud("http://127.0.0.1:9", retry=RetryPolicy(initial_backoff=0.001, outage_patience=0.3)) as client:
        ends = await asyncio.gather(
            *(client.upload(content(9), NAME, file_type="mp4") for _ in range(5)), return_exceptions=True
        )
    assert all(isinstance(end, TransportError) and not end.sent for end in ends), ends


def status_call(client: Any) -> Any:
    from iqiyi_async.protocol.videos import get_status

    return get_status(client._endpoints, "f")


async def test_a_token_that_dies_in_an_outage_is_renewed_behind_its_gate(service: Service) -> None:
    """Who waits for a token must not hold the turn that the renewal of the token waits for."""
    outage = Outage(service, "503")
    service.lifetime = 0.6
    async with cloud(service.url, retry=FAST) as client:
        await client.authorize()
        outage.begin(1.0)
        service.lifetime = 3600
        await in_time(asyncio.gather(*(client.upload(content(100), NAME, file_type="mp4") for _ in range(30))), 5)
    assert len(service.published) == 30

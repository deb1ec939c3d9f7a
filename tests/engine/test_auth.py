"""Tokens: asked for once for everybody, renewed in time, replaced when refused, kept in stores that may fail."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    Endpoints,
    FileTokenStore,
    MemoryTokenStore,
    ServiceError,
    ServiceUnavailableError,
    Token,
    TransportError,
    UploadError,
    VideoCloudError,
)
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer
from iqiyi_async.models import StoredToken

from .servers import Asked, Cut, Service, answer, ok
from .tools import KEY, NAME, QUICK, cloud, content, in_time, until

pytestmark = pytest.mark.anyio


class Clock:
    """The wall clock of the clients of a test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    @property
    def timing(self) -> dict[str, Any]:
        """For clients that go by it, and leave nothing to chance."""
        return {"wall_clock": self, "random": lambda: 0.5}


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_token_is_fetched_on_first_need_only(service: Service) -> None:
    async with cloud(service.url) as client:
        assert not service.asked
        await client.get_status("f")
        await client.get_status("f")
    assert [asked.operation for asked in service.asked] == ["authorize", "get_status", "get_status"]
    assert service.asked[0].query == {"client_id": KEY, "client_secret": "emulator-app-secret"}
    assert {asked.token for asked in service.calls("get_status")} == {"access-1"}


async def test_hundred_tasks_share_one_flight(service: Service) -> None:
    gate = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await gate.wait()

    service.hooks["authorize"] = hold
    async with cloud(service.url) as client:
        asking = [asyncio.ensure_future(client.get_status("f")) for _ in range(100)]
        await until(lambda: service.count("authorize") == 1)
        gate.set()
        await in_time(asyncio.gather(*asking))
    assert service.count("authorize") == 1
    assert service.count("get_status") == 100


@pytest.mark.parametrize("how", ["task", "timeout", "scope"])
async def test_cancelling_waiters_disturbs_no_other(service: Service, how: str) -> None:
    """Ninety of a hundred are cancelled, the first among them, whose need began the flight."""
    gate = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await gate.wait()

    async def impatient(client: AsyncVideoCloud) -> None:
        if how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.get_status("f")
        elif how == "scope":
            with anyio.move_on_after(0.05) as scope:
                await client.get_status("f")
            assert scope.cancelled_caught
        else:
            await client.get_status("f")

    service.hooks["authorize"] = hold
    async with cloud(service.url) as client:
        leaving = [asyncio.ensure_future(impatient(client)) for _ in range(90)]
        await until(lambda: service.count("authorize") == 1)
        staying = [asyncio.ensure_future(client.get_status("f")) for _ in range(10)]
        await asyncio.sleep(0)
        if how == "task":
            for task in leaving:
                task.cancel()
        results = await in_time(asyncio.gather(*leaving, return_exceptions=True))
        assert all(how != "task" or isinstance(result, asyncio.CancelledError) for result in results)
        gate.set()
        await in_time(asyncio.gather(*staying))
    assert service.count("authorize") == 1


async def test_flight_that_fails_tells_every_waiter(service: Service) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A21324", "msg": "no"})

    service.hooks["authorize"] = refuse
    async with cloud(service.url) as client:
        results = await in_time(asyncio.gather(*(client.get_status("f") for _ in range(50)), return_exceptions=True))
    assert all(type(result) is AuthorizationError and result.code == "A21324" for result in results)
    assert len({id(result) for result in results}) == 50, "each has an error of its own"
    assert service.count("authorize") == 1
    assert service.count("get_status") == 0


# The two windows


async def test_soft_window_renews_in_the_background(service: Service, clock: Clock) -> None:
    gate = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await gate.wait()

    service.hooks["refresh_token"] = hold
    async with cloud(service.url, timing=clock.timing) as client:
        await client.get_status("f")
        clock.now += 3600 * 0.79
        await client.get_status("f")
        assert service.count("refresh_token") == 0
        clock.now += 3600 * 0.02
        for _ in range(10):
            await in_time(client.get_status("f"))
        await until(lambda: service.count("refresh_token") == 1)
        assert {asked.token for asked in service.calls("get_status")} == {"access-1"}, "nobody waits for the new one"
        gate.set()
        await until(lambda: client._runtime.auth._flight is not None and client._runtime.auth._flight.done())
        await client.get_status("f")
    assert service.calls("get_status")[-1].token == "access-2"
    assert service.count("refresh_token") == 1
    refresh = service.calls("refresh_token")[0].query
    assert refresh == {"client_id": KEY, "grant_type": "refresh_token", "refresh_token": "refresh-1"}


async def test_hard_window_waits(service: Service, clock: Clock) -> None:
    async with cloud(service.url, timing=clock.timing) as client:
        await client.get_status("f")
        clock.now += 3600 - 59
        await asyncio.gather(*(client.get_status("f") for _ in range(20)))
    assert service.count("refresh_token") == 1
    assert {asked.token for asked in service.calls("get_status")[1:]} == {"access-2"}


async def test_window_of_a_token_of_seconds_shrinks_with_its_life(service: Service, clock: Clock) -> None:
    service.lifetime = 10
    async with cloud(service.url, timing=clock.timing) as client:
        for _ in range(5):
            await client.get_status("f")
        assert (service.count("authorize"), service.count("refresh_token")) == (1, 0), "10 s are not within 60 s"
        clock.now += 9.6
        await client.get_status("f")
    assert service.count("refresh_token") == 1


async def test_renewal_in_the_soft_window_that_fails_is_not_hammered(service: Service, clock: Clock) -> None:
    async def down(asked: Asked) -> bytes:
        return answer(status="404 Gone", body=b"")

    service.hooks |= {"refresh_token": down}
    async with cloud(service.url, timing=clock.timing) as client:
        await client.get_status("f")
        service.hooks["authorize"] = down
        clock.now += 3600 * 0.85
        for _ in range(20):
            await client.get_status("f")
            flight = client._runtime.auth._flight
            assert flight is not None
            await asyncio.wait([flight])
        assert service.count("refresh_token") == 1
        clock.now += 16
        await client.get_status("f")
        flight = client._runtime.auth._flight
        assert flight is not None
        await asyncio.wait([flight])
        assert service.count("refresh_token") == 2
        del service.hooks["refresh_token"], service.hooks["authorize"]
        clock.now += 16
        await client.get_status("f")
        await until(lambda: service.count("refresh_token") == 3)


@pytest.mark.parametrize("code", ["A21325", "A21330", "Q00001", "garbage", "404"])
async def test_refused_refresh_falls_back_to_key_and_secret(service: Service, clock: Clock, code: str) -> None:
    async def refuse(asked: Asked) -> bytes:
        if code == "404":
            return answer(status="404 Gone", body=b"")
        return answer(body=b"<html>") if code == "garbage" else answer({"code": code})

    service.hooks["refresh_token"] = refuse
    async with cloud(service.url, timing=clock.timing) as client:
        await client.get_status("f")
        clock.now += 3600
        await client.get_status("f")
        await client.get_status("f")
    assert service.count("authorize") == 2
    assert service.calls("get_status")[-1].token == "access-2"


async def test_lost_answer_of_a_refresh_that_was_carried_out(emulator: ThreadedEmulatorServer) -> None:
    """The refresh token is used up, and the new one was never heard of: key and secret help."""
    emulator.faults = FaultPlan([Fault(operation="refresh_token", call=1, lost_answer=True)])
    async with cloud(emulator.endpoint_url) as client:
        await client.get_status("f")
        await asyncio.to_thread(emulator.spoil_tokens)
        await in_time(client.get_status("f"))
    operations = [one.operation for one in emulator.history]
    assert operations.count("authorize") == 2


async def test_token_without_a_refresh_token(service: Service, clock: Clock) -> None:
    async def bare(asked: Asked) -> bytes:
        token = service.new_token()
        del token["refresh_token"]
        return ok(data=token)

    service.hooks["authorize"] = bare
    async with cloud(service.url, timing=clock.timing) as client:
        await client.get_status("f")
        clock.now += 3600
        await client.get_status("f")
        assert (await client.refresh_token()).refresh_token is None
    assert (service.count("authorize"), service.count("refresh_token")) == (3, 0)


async def test_refresh_token_that_is_not_rotated_is_kept(service: Service, clock: Clock) -> None:
    async def bare(asked: Asked) -> bytes:
        token = service.new_token()
        del token["refresh_token"]
        return answer(token)

    service.hooks["refresh_token"] = bare
    async with cloud(service.url, timing=clock.timing) as client:
        for _ in range(3):
            assert (await client.refresh_token()).refresh_token in ("refresh-1", None)
    # The first had nothing to refresh with, and authorized.
    assert [asked.query["refresh_token"] for asked in service.calls("refresh_token")] == ["refresh-1"] * 2


# Refused tokens

Call = Callable[[AsyncVideoCloud], Any]

CALLS: dict[str, Call] = {
    "request_upload": lambda client: client.request_upload("mp4", 10),
    "set_metadata": lambda client: client.set_metadata("file0", NAME),
    "finish_upload": lambda client: client.finish_upload("file0"),
    "cancel_upload": lambda client: client.cancel_upload("file0"),
    "get_status": lambda client: client.get_status("file0"),
    "list_videos": lambda client: client.list_videos(),
    "get_urls": lambda client: client.get_urls("file0"),
    "delete_videos": lambda client: client.delete_videos(["file0"]),
    "delete_all": lambda client: client.delete_all_videos(),
}


@pytest.mark.parametrize("code", ["A21327", "A21332", "401"])
@pytest.mark.parametrize("name", CALLS)
async def test_refused_token_is_renewed_once_and_the_call_replayed_once(service: Service, name: str, code: str) -> None:
    operation = "delete_videos" if name == "delete_all" else name

    async def refuse(asked: Asked) -> bytes | None:
        if asked.token != "access-1":
            return ok(count=0, data=[]) if operation == "list_videos" else None
        return answer(status="401 No", body=b"") if code == "401" else answer({"code": code, "msg": "token"})

    service.hooks[operation] = refuse
    async with cloud(service.url) as client:
        await in_time(CALLS[name](client))
    assert [asked.token for asked in service.calls(operation)] == ["access-1", "access-2"]
    assert (service.count("authorize"), service.count("refresh_token")) == (1, 1)


@pytest.mark.parametrize("code", ["A21327", "A21332"])
@pytest.mark.parametrize("name", CALLS)
async def test_second_refusal_is_an_error(service: Service, name: str, code: str) -> None:
    operation = "delete_videos" if name == "delete_all" else name

    async def refuse(asked: Asked) -> bytes:
        return answer({"code": code})

    service.hooks[operation] = refuse
    async with cloud(service.url) as client:
        with pytest.raises(AuthorizationError) as caught:
            await in_time(CALLS[name](client))
    assert caught.value.code == code
    assert service.count(operation) == 2
    assert service.count("refresh_token") == 1


@pytest.mark.parametrize("how", ["expired", "revoked"])
@pytest.mark.parametrize("operation", ["request_upload", "set_metadata", "finish_upload", "upload_chunk"])
async def test_upload_outlives_its_token(
    emulator: ThreadedEmulatorServer, operation: str, how: Literal["expired", "revoked"]
) -> None:
    if operation == "upload_chunk":
        fault = Fault(operation=operation, call=3, code="A21327" if how == "expired" else "A21332")
    else:
        fault = Fault(operation=operation, call=1, token=how)
    emulator.faults = FaultPlan([fault])
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(content(500_000), NAME, file_type="mp4"))
    assert emulator.faults.unfired() == ()
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == content(500_000)
    assert [one.operation for one in emulator.history].count("refresh_token") == 1
    assert len(emulator.published()) == 1


async def test_token_that_is_refused_for_ranges_again_and_again(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = FaultPlan([Fault(operation="upload_chunk", code="A21332")])
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert isinstance(caught.value.__cause__, AuthorizationError)
    operations = [one.operation for one in emulator.history]
    assert (operations.count("upload_chunk"), operations.count("refresh_token")) == (2, 1)


async def test_many_refused_at_once_renew_once(service: Service) -> None:
    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A21327"}) if asked.token == "access-1" else None

    service.hooks["get_status"] = refuse
    async with cloud(service.url) as client:
        await in_time(asyncio.gather(*(client.get_status("f") for _ in range(100))))
    assert service.count("refresh_token") == 1


async def test_other_refusals_do_not_renew(service: Service) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A21330"})

    service.hooks["get_status"] = refuse
    async with cloud(service.url) as client:
        with pytest.raises(AuthorizationError):
            await client.get_status("f")
    assert (service.count("get_status"), service.count("refresh_token")) == (1, 0)


async def test_busy_authorize_is_repeated(service: Service) -> None:
    async def busy(asked: Asked) -> bytes | None:
        return None if service.count("authorize") > 2 else answer({"code": "A00007"})

    service.hooks["authorize"] = busy
    async with cloud(service.url, call_retry=QUICK) as client:
        await in_time(client.get_status("f"))
    assert service.count("authorize") == 3


async def test_authorize_that_never_comes(service: Service) -> None:
    async def cut(asked: Asked) -> bytes:
        raise Cut

    service.hooks["authorize"] = cut
    async with cloud(service.url, retry=QUICK) as client:
        with pytest.raises(TransportError):
            await in_time(client.get_status("f"))
    assert service.count("authorize") <= 100 + 8, "the budget bounds what nested repetitions would multiply"


# Stores


async def test_authorize_and_refresh_by_hand_are_kept(service: Service) -> None:
    store = MemoryTokenStore()
    async with cloud(service.url, token_store=store) as client:
        first = await client.authorize()
        second = await client.refresh_token()
        assert (first.access_token, second.access_token) == ("access-1", "access-2")
        await client.get_status("f")
    async with cloud(service.url, token_store=store) as client:
        await client.get_status("f")
    assert {asked.token for asked in service.calls("get_status")} == {"access-2"}
    assert service.count("authorize") == 1


async def test_two_clients_share_a_file(service: Service, tmp_path: Path) -> None:
    """Both wake up with nothing, and both find their token refused: each time one of them asks."""
    path = tmp_path / "tokens" / "tokens.json"

    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A21332"}) if asked.token == "access-1" and refusing else None

    refusing = False
    service.hooks["get_status"] = refuse
    async with (
        cloud(service.url, token_store=FileTokenStore(path)) as one,
        cloud(service.url, token_store=FileTokenStore(path)) as two,
    ):
        await in_time(asyncio.gather(*(client.get_status("f") for client in (one, two) for _ in range(10))))
        assert service.count("authorize") == 1
        refusing = True
        await in_time(asyncio.gather(*(client.get_status("f") for client in (one, two) for _ in range(10))))
        assert service.count("refresh_token") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_accounts_and_services_do_not_share_tokens(service: Service) -> None:
    store = MemoryTokenStore()
    async with Service() as other:
        for key, where in [("a", service), ("b", service), ("a", other)]:
            async with AsyncVideoCloud(key, "s", endpoints=Endpoints.single(where.url), token_store=store) as client:
                await client.get_status("f")
        assert (service.count("authorize"), other.count("authorize")) == (2, 1)


class Broken:
    """A store that raises wherever it is told to."""

    def __init__(self, *where: str, error: type[Exception] = RuntimeError) -> None:
        self._inner = MemoryTokenStore()
        self.where = set(where)
        self._error = error

    def _fail(self, where: str) -> None:
        if where in self.where:
            raise self._error(f"{where} is broken")

    async def load(self, key: str) -> StoredToken | None:
        self._fail("load")
        return await self._inner.load(key)

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        self._fail("write")
        return await self._inner.compare_and_set(key, expected, token)

    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncIterator[None]:
        self._fail("lease")
        yield
        self._fail("leave")


@pytest.mark.parametrize("error", [OSError, RuntimeError, TimeoutError])
@pytest.mark.parametrize("where", [("load",), ("write",), ("lease",), ("leave",), ("load", "write", "lease", "leave")])
async def test_store_that_raises(
    service: Service, where: tuple[str, ...], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The client goes on with the token in memory, and says so once."""

    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A21332"}) if asked.token == "access-1" and service.count("get_status") > 2 else None

    service.hooks["get_status"] = refuse
    async with cloud(service.url, token_store=Broken(*where, error=error)) as client:
        for _ in range(5):
            await in_time(client.get_status("f"))
    assert service.count("authorize") == 1
    assert service.count("refresh_token") == 1
    assert [record.message for record in caplog.records].count(
        f"the token store failed ({error.__name__}); the token is kept in memory"
    ) == 1


@pytest.mark.parametrize("text", ["with\nline", "with space", "ünicode", "", "\x00"])
async def test_store_that_gives_what_no_header_can_hold(service: Service, text: str) -> None:
    store = MemoryTokenStore()
    now = datetime.now(UTC)
    async with cloud(service.url, token_store=store) as client:
        await store.compare_and_set(
            client._runtime.auth.account, None, Token(text, None, now, now + timedelta(hours=1))
        )
        await client.request_upload("mp4", 1)
    assert service.calls("request_upload")[0].token == "access-1"


@pytest.mark.parametrize("text", ["canary \ud800", "\udfffcanary", "cänary\r\n"])
async def test_stored_refresh_token_that_no_encoder_takes(service: Service, text: str) -> None:
    """It is kept out of texts like any other, and the service refuses it: no encoder's error quotes it."""

    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "Q00001", "msg": f"what is {asked.target}?"})

    service.hooks |= {"get_status": refuse, "refresh_token": refuse}
    store = MemoryTokenStore()
    now = datetime.now(UTC)
    async with cloud(service.url, token_store=store) as client:
        token = Token("access-0", text, now, now + timedelta(hours=1))
        await store.compare_and_set(client._runtime.auth.account, None, token)
        with pytest.raises(ServiceError, match="what is ") as caught:
            await client.get_status("f")
        assert text.strip() not in "".join(traceback.format_exception(caught.value))
        assert (await client.refresh_token()).access_token == "access-1"


async def test_token_found_in_the_store_may_be_stale(service: Service) -> None:
    store = MemoryTokenStore()
    now = datetime.now(UTC)
    async with cloud(service.url, token_store=store) as client:
        await store.compare_and_set(
            client._runtime.auth.account, None, Token("old", "refresh-old", now - timedelta(hours=2), now)
        )
        await client.get_status("f")
    assert service.calls("refresh_token")[0].query["refresh_token"] == "refresh-old"
    assert {asked.token for asked in service.calls("get_status")} == {"access-1"}


async def test_clock_that_is_a_day_wrong(service: Service, clock: Clock) -> None:
    """Life times are counted from the request, so a wrong clock changes nothing."""
    clock.now -= 86_400
    async with cloud(service.url, timing=clock.timing) as client:
        for _ in range(3):
            await client.get_status("f")
    assert (service.count("authorize"), service.count("refresh_token")) == (1, 0)


@pytest.mark.parametrize("answer_", [{}, {"access_token": "x y", "expires_in": 5}, {"access_token": "x"}, {"a": 1}])
async def test_token_answers_that_can_not_be_used(service: Service, answer_: dict[str, Any]) -> None:
    async def strange(asked: Asked) -> bytes:
        return ok(data=answer_)

    service.hooks["authorize"] = strange
    async with cloud(service.url) as client:
        with pytest.raises(VideoCloudError) as caught:
            await in_time(client.get_status("f"))
    assert caught.value.operation == "authorize"
    assert not isinstance(caught.value, ServiceUnavailableError)


class Silent(MemoryTokenStore):
    """A store that never answers."""

    async def load(self, key: str) -> StoredToken | None:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_store_that_hangs_is_one_that_failed(service: Service) -> None:
    async with cloud(service.url, token_store=Silent(), timing={"store_seconds": 0.05}) as client:
        await in_time(client.get_status("f"))
        await in_time(client.get_status("f"))
    assert service.count("authorize") == 1


class Constant:
    """A service whose authorize is idempotent: the same token until it dies, whatever one asks (contract, B11)."""

    def __init__(self, service: Service, clock: Clock, life: float) -> None:
        self._service, self._clock, self._life = service, clock, life
        self._born = clock.now - life
        self._number = 0
        service.hooks["authorize"] = self.authorize
        service.hooks["refresh_token"] = self.refresh

    async def authorize(self, asked: Asked) -> bytes:
        if self._clock.now >= self._born + self._life:
            self._born, self._number = self._clock.now, self._number + 1
        left = self._born + self._life - self._clock.now
        token = {"access_token": f"t{self._number}", "expires_in": left, "refresh_token": f"r{self._number}"}
        return ok(data=token)

    async def refresh(self, asked: Asked) -> bytes:
        return answer({"code": "A21325"})


async def test_unchanged_token_counts_as_renewed(service: Service, clock: Clock) -> None:
    """Six processes that share a store, in the last minute of a token that nothing makes younger."""
    Constant(service, clock, 600.0)
    store = MemoryTokenStore()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(cloud(service.url, timing=clock.timing, token_store=store))
            for _ in range(6)
        ]
        for client in clients:
            await client.get_status("f")
        assert service.count("authorize") == 1
        clock.now += 550
        for _ in range(45):
            clock.now += 1
            for client in clients:
                await client.get_status("f")
        await asyncio.sleep(0.05)
        in_the_last_minute = service.count("authorize") - 1
        assert in_the_last_minute <= 12
        clock.now += 10
        for client in clients:
            await client.get_status("f")
        assert service.calls("get_status")[-1].token == "t2"
    assert service.count("authorize") <= in_the_last_minute + 3


async def test_words_of_a_store_reach_the_log(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Path, reason and remedy; nothing of a library's error that may hold an address with a password."""
    path = tmp_path / "token.json"
    path.write_text("{}")
    path.chmod(0o644)
    async with cloud(service.url, token_store=FileTokenStore(path)) as client:
        await client.get_status("f")
    (line,) = [record.getMessage() for record in caplog.records if "token store failed" in record.getMessage()]
    assert str(path) in line
    assert "chmod 600" in line

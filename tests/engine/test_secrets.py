"""No key, secret or token in anything that can be seen: logs, texts, reprs, pickles, warnings, and the frames of every
error and of whatever led to it, with all their local variables.

The canaries hold characters that change when they are percent-encoded. The services here say back whatever they hear.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import io
import json
import logging
import pickle
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, RetryPolicy, Token, UploadOptions, VideoCloudError
from iqiyi_async.emulator import EmulatorConfig, EmulatorServer, Fault, FaultPlan

from .servers import Asked, Cut, Service, answer, ok
from .tools import NAME, Reader, content, in_time, until

KEY, SECRET = "canary+key/41c7", "canary&secret=b02e%/"
ACCESS, REFRESH = "canary=access+7d/11", "canary?refresh&c3/"
CANARIES = [KEY, SECRET, ACCESS, REFRESH]
QUICK = RetryPolicy(max_attempts=2, initial_backoff=0, max_backoff=0)
OWN = str(Path(__file__).parent)
#: What a call ends with that gets no answer. On a busy machine the time of the one that waits may be up first.
UNANSWERED = (VideoCloudError, TimeoutError)

pytestmark = pytest.mark.anyio


def forms(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield from {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    yield from {quote(secret, safe="").lower(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    yield raw.hex()


FORBIDDEN = sorted({form for canary in CANARIES for form in forms(canary)})


def leaks(text: str) -> list[str]:
    return [form for form in FORBIDDEN if form in text]


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and whatever led to it, shown or suppressed."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        left += [each.__cause__, each.__context__, *(each.exceptions if isinstance(each, BaseExceptionGroup) else ())]


def everything_about(error: BaseException) -> str:
    """All that a log, a crash report or another process could get to see of an error."""
    seen: list[str] = []
    for each in chain(error):
        seen += [str(each), repr(each), repr(vars(each)), "".join(map(str, getattr(each, "__notes__", [])))]
        for frame, line in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.startswith(OWN):
                seen += [
                    f"{frame.f_code.co_qualname}:{line} {name}={_shown(value)}"
                    for name, value in frame.f_locals.items()
                ]
        seen += _as_printed(each)
    if isinstance(error, VideoCloudError):
        seen += [
            (pickled := _pickled(error)).decode("latin-1"),
            repr(copy.copy(error)),
            repr(vars(pickle.loads(pickled))),
        ]
    return "\n".join(seen)


def _pickled(error: BaseException) -> bytes:
    """As `pickle.dumps` of a fresh process: other libraries register ways of their own for tracebacks and causes."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return buffer.getvalue()


def _as_printed(error: BaseException) -> list[str]:
    """As the standard library prints it with local variables, but for the frames of this test."""
    try:
        summary = traceback.TracebackException.from_exception(error, capture_locals=True)
    except AttributeError:
        return []  # Python 3.11 can't print the locals of an object that is half made
    return [f"{one.name} {one.locals}" for one in summary.stack if not one.filename.startswith(OWN)]


def _shown(value: object) -> str:
    """A local variable as crash reporters show it: containers are looked into."""
    if isinstance(value, dict):
        return repr({repr(key): _shown(each) for key, each in value.items()})
    if isinstance(value, list | tuple | set):
        return repr([_shown(each) for each in value])
    try:
        return repr(value)
    except Exception as problem:
        return f"half made: {type(problem).__name__}"


class Witness(logging.Handler):
    """Hears every logger."""

    def __init__(self) -> None:
        super().__init__(1)
        self.said: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture(autouse=True)
async def witness(anyio_backend: str, capfd: pytest.CaptureFixture[str]) -> Any:
    """Everything is switched on that talks; what was said is looked through at the end of each test."""
    witness = Witness()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ["", *logging.root.manager.loggerDict]}
    root.addHandler(witness)
    for name in levels:
        logging.getLogger(name).setLevel(1)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield witness
    finally:
        loop.set_debug(False)
        root.removeHandler(witness)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    out, err = capfd.readouterr()
    for source, said in [("logs", "\n".join(witness.said)), ("warnings", str([str(one) for one in warned]))]:
        assert not leaks(said), f"{source}: {leaks(said)}"
    assert not leaks(out + err)


class Canary(Service):
    """A service whose tokens are canaries."""

    def new_token(self) -> dict[str, Any]:
        self.tokens += 1
        return {"access_token": ACCESS, "expires_in": self.lifetime, "refresh_token": REFRESH}


@pytest.fixture
async def canary(anyio_backend: str) -> Any:
    async with Canary() as service:
        yield service


def client_of(url: str, **more: Any) -> AsyncVideoCloud:
    options = UploadOptions(chunk_size=1000, max_workers=2, doubt_patience=0.01, **more.pop("options", {}))
    return AsyncVideoCloud(KEY, SECRET, endpoints=Endpoints.single(url), options=options, retry=QUICK, **more)


def heard(asked: Asked) -> str:
    """What a request said, as a careless service says it back: plain, and with its percent signs."""
    return asked.raw_head.decode("latin-1") + json.dumps(asked.query)


ANSWERS: dict[str, Callable[[Asked], bytes]] = {
    "refused": lambda asked: answer({"code": "Q00001", "msg": heard(asked)}),
    "strange code": lambda asked: answer({"code": heard(asked), "msg": heard(asked)}),
    "bad parameter": lambda asked: answer({"code": "A00010", "msg": heard(asked)}),
    "state": lambda asked: answer({"code": "A00002", "msg": heard(asked), "data": {"msg": heard(asked)}}),
    "page": lambda asked: answer(body=b"<html>" + heard(asked).encode()),
    "404 page": lambda asked: answer(status="404 Not Found", body=heard(asked).encode()),
    "400 code": lambda asked: answer({"code": "A00010", "msg": heard(asked)}, status="400 Bad"),
    "500 page": lambda asked: answer(status="500 Broken", body=heard(asked).encode()),
    "503 code": lambda asked: answer({"code": heard(asked)}, status="503 Busy"),
    "redirect": lambda asked: answer(status="302 Found", headers=f"Location: /x?{asked.target}\r\n", body=b""),
    "headers": lambda asked: answer(body=b"?", headers=f"Retry-After: {asked.target}\r\nX: {asked.token}\r\n"),
    "reason": lambda asked: answer(body=b"?", status=f"200 {asked.target}"),
    "not HTTP": lambda asked: asked.raw_head,
    "bad status line": lambda asked: f"HTTP/1.1 {asked.target}\r\n\r\n".encode(),
    "bad header": lambda asked: b"HTTP/1.1 200 OK\r\n" + asked.raw_head.replace(b": ", b" "),
    "bad length": lambda asked: f"HTTP/1.1 200 OK\r\nContent-Length: {asked.target}\r\n\r\n".encode(),
    "bad chunk": lambda asked: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{asked.target}\r\n".encode(),
    "cut": lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + asked.raw_head,
    "too long": lambda asked: answer({"a": heard(asked), "b": "x" * 3_000_000}),
    "compressed": lambda asked: answer({"code": heard(asked)}, headers="Content-Encoding: br\r\n"),
    "wrong types": lambda asked: ok(
        data={"upload_url": heard(asked), "file_id": asked.token, "l": heard(asked)}, count=heard(asked)
    ),
    "wrong ticket": lambda asked: ok(data={"upload_url": f"ftp://{asked.token}/", "file_id": "f"}),
    "wrong list": lambda asked: ok(data=[{"fileId": {}, "fileName": heard(asked)}], count="many"),
    "expired": lambda asked: answer({"code": "A21327", "msg": heard(asked)}),
}

CALLS: dict[str, tuple[str, Callable[[AsyncVideoCloud], Awaitable[object]]]] = {
    "authorize": ("authorize", lambda client: client.authorize()),
    "refresh": ("refresh_token", lambda client: client.refresh_token()),
    "request": ("request_upload", lambda client: client.request_upload("mp4", 10)),
    "metadata": ("set_metadata", lambda client: client.set_metadata("f", NAME)),
    "finish": ("finish_upload", lambda client: client.finish_upload("f")),
    "cancel": ("cancel_upload", lambda client: client.cancel_upload("f")),
    "status": ("get_status", lambda client: client.get_status("f")),
    "wait": ("get_status", lambda client: client.wait_until_published("f", timeout=0.05)),
    "list": ("list_videos", lambda client: client.list_videos()),
    "urls": ("get_urls", lambda client: client.get_urls("f")),
    "delete": ("delete_videos", lambda client: client.delete_videos(["f"])),
    "upload": ("upload_chunk", lambda client: client.upload(content(3000), NAME, file_type="mp4")),
    "upload metadata": ("set_metadata", lambda client: client.upload(b"x", NAME, file_type="mp4")),
    "upload finish": ("finish_upload", lambda client: client.upload(b"x", NAME, file_type="mp4")),
}


@pytest.mark.parametrize("call", CALLS)
async def test_services_that_say_back_what_they_hear(canary: Canary, call: str) -> None:
    operation, ask = CALLS[call]
    raised = 0
    for name, reply in ANSWERS.items():

        async def hook(asked: Asked, reply: Callable[[Asked], bytes] = reply) -> bytes:
            return reply(asked)

        async with client_of(canary.url, options={"stall_timeout": 0.05}) as client:
            await client.authorize()
            canary.hooks = {operation: hook}
            if operation == "refresh_token":
                canary.hooks["authorize"] = hook
            try:
                await in_time(ask(client))
            except (VideoCloudError, TimeoutError) as error:
                raised += 1
                about = everything_about(error)
                assert not leaks(about), (name, leaks(about), [line for line in about.splitlines() if leaks(line)][:5])
            assert not leaks(repr(client) + repr(vars(client)))
        canary.hooks = {}
    assert raised >= 15


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "404 Not Found", "503 Busy"])
async def test_words_that_are_shortened_in_the_middle_of_a_secret(canary: Canary, status: str) -> None:
    """Texts and codes of the service are cut off somewhere; what is left of a token there is no token's beginning."""
    padding = 0

    async def say(asked: Asked) -> bytes:
        words = "x" * padding + quote(ACCESS, safe="") + "y" * padding + ACCESS
        return answer({"code": words, "msg": words}, status=status)

    async with client_of(canary.url) as client:
        await client.authorize()
        canary.hooks["list_videos"] = say
        while padding < 170:
            padding += 1
            with pytest.raises(VideoCloudError) as caught:
                await client.list_videos()
            about = everything_about(caught.value)
            assert not [form for form in forms(ACCESS) if form[:12] in about]


@pytest.mark.parametrize("state", ["A00003", "A00006", "A00002", "A99999"])
async def test_words_of_a_status_after_a_finish_in_doubt(canary: Canary, state: str) -> None:
    """The status is looked at for the caller, so its words reach an error that is none of the status's own."""

    async def cut(asked: Asked) -> bytes:
        raise Cut

    async def say(asked: Asked) -> bytes:
        words = f"{heard(asked)} {ACCESS} {KEY} {SECRET}\x1b[2J\r\n" + "x" * 2_000_000
        return answer({"code": state, "msg": words, "data": {"fileIdBefore": ACCESS}})

    async with client_of(canary.url) as client:
        await client.authorize()
        canary.hooks |= {"finish_upload": cut, "get_status": say}
        status = await client.get_status("f")
        assert not [form for form in FORBIDDEN if form in repr(status)]
        if state == "A00002":
            await client.finish_upload("f")
            return
        with pytest.raises(VideoCloudError) as caught:
            await client.finish_upload("f")
    about = everything_about(caught.value)
    assert not [form for form in FORBIDDEN if form in about]
    assert str(caught.value).isprintable()
    assert len(getattr(caught.value, "message", "")) <= 500


TOKENS: dict[str, dict[str, Any]] = {
    "no life": {"access_token": ACCESS, "refresh_token": REFRESH},
    "strange life": {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": ACCESS},
    "dead": {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": -5},
    "two lines": {"access_token": ACCESS + "\n", "refresh_token": REFRESH + "\r\nX: y", "expires_in": 60},
    "no text": {"access_token": [ACCESS], "refresh_token": {"a": REFRESH}, "expires_in": 60},
    "padded": {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 0, "pad": "x" * 3_000_000},
}


@pytest.mark.parametrize("operation", ["authorize", "refresh_token"])
@pytest.mark.parametrize("how", ["plain", "error", "compressed", "cut", "text", "503"])
@pytest.mark.parametrize("what", TOKENS)
async def test_token_answers_that_can_not_be_used(canary: Canary, what: str, how: str, operation: str) -> None:
    fields = TOKENS[what]
    wrapped = {"code": "A00000", "data": fields} if operation == "authorize" else fields

    async def strange(asked: Asked) -> bytes:
        match how:
            case "error":
                return answer({**wrapped, "code": "Q00001", "msg": f"{KEY} {SECRET}"})
            case "compressed":
                return answer(wrapped, headers="Content-Encoding: gzip\r\n")
            case "cut":
                return answer(body=json.dumps(wrapped).encode()[:-3])
            case "text":
                return answer(body=f"token: {ACCESS} or {REFRESH} {wrapped}".encode())
            case "503":
                return answer(wrapped, status="503 Busy")
            case _:
                return answer(wrapped)

    async with client_of(canary.url) as client:
        if operation == "refresh_token":
            await client.authorize()
        canary.hooks = {"authorize": strange, "refresh_token": strange}
        ask = client.authorize if operation == "authorize" else client.refresh_token
        with pytest.raises(VideoCloudError) as caught:
            await in_time(ask())
        about = everything_about(caught.value)
        assert not leaks(about), (leaks(about), [line for line in about.splitlines() if leaks(line)][:5])


@pytest.mark.parametrize("operation", ["authorize", "refresh_token", "request_upload", "get_status", "set_metadata"])
@pytest.mark.parametrize("how", ["cancel", "timeout", "slow", "stall", "reset"])
async def test_interrupted_at_any_step(canary: Canary, operation: str, how: str) -> None:
    """The request is in the frames below, whole, at whatever step it is interrupted: none of them may be seen."""
    never = asyncio.Event()
    ask = next(ask for name, ask in CALLS.values() if name == operation)

    async def hold(asked: Asked) -> bytes:
        if how == "reset":
            raise Cut(reset=True)
        await never.wait()
        return ok()

    async def drip(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        while not never.is_set():
            writer.write(b"HTTP/1.1 200 OK\r\n" if not writer.is_closing() else b"")
            await asyncio.sleep(0.02)

    patience = {"stall": 0.05, "slow": 0.06}.get(how, 30)
    async with client_of(canary.url, options={"stall_timeout": patience, "connect_timeout": 0.1}) as client:
        if operation != "authorize":
            await client.authorize()
        canary.hooks = {operation: hold, "authorize": hold} if how != "slow" else {}
        canary.early = {operation: drip, "authorize": drip} if how == "slow" else {}
        steps = range(30) if how == "cancel" else range(1)
        for step in steps:
            task = asyncio.ensure_future(_limited(ask(client), how))
            if how == "cancel":
                for _ in range(step):
                    await asyncio.sleep(0)
                task.cancel()
            (result,) = await in_time(asyncio.gather(task, return_exceptions=True))
            assert isinstance(result, BaseException)
            about = everything_about(result)
            assert not leaks(about), (leaks(about), [line for line in about.splitlines() if leaks(line)][:5])
        never.set()


async def _limited(work: Awaitable[object], how: str) -> object:
    if how != "timeout":
        return await work
    async with asyncio.timeout(0.05):
        return await work


async def test_nobody_listens() -> None:
    async with client_of("http://127.0.0.1:9") as client:
        for _, ask in CALLS.values():
            with pytest.raises(UNANSWERED) as caught:
                await in_time(ask(client))
            assert not leaks(everything_about(caught.value))


async def test_transport_of_the_caller_that_quotes_the_request(canary: Canary) -> None:
    class Careless(httpx.AsyncBaseTransport):
        def __init__(self, kind: type[Exception]) -> None:
            self.kind = kind

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                raise OSError(f"socket of {request.url}")
            except OSError as problem:
                raise self.kind(f"{request.method} {request.url} {dict(request.headers)} failed") from problem

    for kind in (httpx.ReadError, httpx.ConnectError, httpx.ProxyError, httpx.RemoteProtocolError, ConnectionError):
        async with client_of(canary.url, transport=Careless(kind)) as client:
            for _, ask in CALLS.values():
                with pytest.raises(UNANSWERED) as caught:
                    await in_time(ask(client))
                about = everything_about(caught.value)
                assert not leaks(about), (leaks(about), [line for line in about.splitlines() if leaks(line)][:5])


async def test_traceback_of_the_caller_stays(canary: Canary) -> None:
    """What the caller was handling when it asked keeps its frames: only ours are taken away."""
    async with client_of(canary.url) as client:
        await client.authorize()
        canary.hooks["get_status"] = lambda asked: _cut()
        try:
            try:
                raise LookupError("the caller's own")
            except LookupError:
                await client.get_status("f")
        except VideoCloudError as error:
            (own,) = [each for each in chain(error) if isinstance(each, LookupError)]
            assert own.__traceback__ is not None
        else:
            pytest.fail("nothing was raised")


async def _cut() -> bytes:
    raise Cut


async def test_uploads_that_end_badly(canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"

    async def change(asked: Asked) -> bytes | None:
        await asyncio.to_thread(path.write_bytes, b"other")
        return None

    async def wrong(asked: Asked) -> bytes:
        return ok(range_md5="0" * 32, file_range_accepted=3, file_id="another")

    async def unknown(asked: Asked) -> bytes:
        return answer({"code": "A00005", "msg": heard(asked)})

    for hook in (change, wrong, unknown):
        canary.hooks["upload_chunk"] = hook
        for failure in ("keep", "cancel"):
            path.write_bytes(content(3000))
            async with client_of(canary.url, options={"on_failure": failure}) as client:
                for source in (path, Reader(content(3000)))[: 1 if hook is change else 2]:
                    with pytest.raises(VideoCloudError) as caught:
                        await in_time(client.upload(source, NAME))
                    assert not leaks(everything_about(caught.value))


async def test_store_whose_errors_quote_the_token(canary: Canary) -> None:
    class Careless:
        async def load(self, key: str) -> None:
            raise ValueError(f"can't parse {ACCESS}")

        async def compare_and_set(self, key: str, expected: int | None, token: Token) -> None:
            raise ValueError(f"can't write {token.access_token} {token.refresh_token}")

        def lease(self, key: str, *, ttl: float) -> contextlib.AbstractAsyncContextManager[None]:
            raise ValueError(SECRET)

    async with client_of(canary.url, token_store=Careless()) as client:
        await client.get_status("f")


def test_credentials_that_are_refused() -> None:
    for key, secret in [(KEY + " ", SECRET), (KEY, SECRET + "\n"), (KEY, [SECRET]), ({KEY: 1}, SECRET), (KEY, "")]:
        with pytest.raises(VideoCloudError) as caught:
            AsyncVideoCloud(key, secret)  # type: ignore[arg-type]
        assert not leaks(everything_about(caught.value))


def test_refused_settings_do_not_quote_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten part in an address is often a password."""
    monkeypatch.setenv("IQIYI_APP_KEY", KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", SECRET)
    for address in (f"http://user:{ACCESS}@host", f"http://host/?access_token={ACCESS}", f"htp://{ACCESS}"):
        monkeypatch.setenv("IQIYI_ENDPOINT_URL", address)
        with pytest.raises(VideoCloudError) as caught:
            AsyncVideoCloud.from_env()
        assert not leaks(str(caught.value) + repr(caught.value) + repr(vars(caught.value)))
    monkeypatch.delenv("IQIYI_ENDPOINT_URL")
    for value in ({"journal": 5}, {"token_store": 5}, {"transport": 5}, {"endpoints": 5}, {"retry": 5}, {"options": 5}):
        with pytest.raises(VideoCloudError) as caught:
            AsyncVideoCloud.from_env(**value)  # type: ignore[arg-type]
        assert not leaks(everything_about(caught.value))


async def test_token_prints_nothing_of_itself(canary: Canary) -> None:
    async with client_of(canary.url) as client:
        token = await client.authorize()
        assert (token.access_token, token.refresh_token) == (ACCESS, REFRESH)
        assert not leaks(repr(token) + str(token) + f"{token}")
        await client.get_status("f")
        held = repr(client._runtime.auth._now) + repr(client._runtime.auth.secrets) + repr(client._runtime.session)
        assert not leaks(held)


async def test_tasks_and_coroutines_print_nothing(canary: Canary, witness: Witness) -> None:
    """asyncio's debug mode prints tasks, with the arguments of nobody."""
    never = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await never.wait()

    canary.hooks = {"get_status": hold}
    async with client_of(canary.url) as client:
        await client.authorize()
        asking = asyncio.ensure_future(client.get_status("f"))
        await until(lambda: canary.count("get_status") == 1)
        stream = io.StringIO()
        for task in asyncio.all_tasks():
            task.print_stack(file=stream)
            stream.write(repr(task))
        assert not leaks(stream.getvalue())
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        never.set()


async def test_emulator_says_nothing_either(witness: Witness) -> None:
    plan = FaultPlan(
        [
            Fault(operation="get_status", call=1, status=500),
            Fault(operation="upload_chunk", call=2, drop=True),
            Fault(operation="finish_upload", call=1, lost_answer=True),
            Fault(operation="list_videos", token="revoked"),
        ]
    )
    config = EmulatorConfig(app_key=KEY, app_secret=SECRET, publish_after=0, faults=plan)
    async with EmulatorServer(config) as emulator:
        async with client_of(emulator.endpoint_url) as client:
            token = await client.authorize()
            receipt = await client.upload(content(5000), NAME, file_type="mp4")
            await client.get_status(receipt.file_id)
            with pytest.raises(VideoCloudError):
                await client.list_videos()
            with pytest.raises(VideoCloudError):
                await client.get_urls("unknown")
            newer = await client.refresh_token()
        said = "\n".join(witness.said) + repr(emulator.emulator.history)
        for secret in (token, newer):
            for part in (secret.access_token, secret.refresh_token):
                assert part is not None
                assert part not in said
        assert not leaks(said)
    async with AsyncVideoCloud(
        "wrong-canary", SECRET, endpoints=Endpoints.single("http://127.0.0.1:9"), retry=QUICK
    ) as client:
        with pytest.raises(VideoCloudError):
            await client.get_status("f")

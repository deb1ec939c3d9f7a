"""Fixtures for suites of programs that use this library: the emulated service, a client for it, faults on purpose.

    @pytest.mark.iqiyi_faults(operation="upload_chunk", call=2, status=503)
    async def test_a_busy_service(iqiyi_cloud):
        receipt = await iqiyi_cloud.upload(b"..." * 100_000, Metadata("Test"), file_type="mp4")
        assert receipt.retries == 1

The fixtures need the extra `emulator`. They work in synchronous tests and in coroutines, with or without a plugin that
runs those. At the end of a test that passed they look whether every planned fault has fired, whether no upload was left
half open, and whether no request broke the service's contract; `@pytest.mark.iqiyi_end_check(False)` or the ini option
`iqiyi_end_check` turn that off.

Every run of pytest loads this module: it imports nothing but pytest, and uses only what pytest 7 has.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from . import AsyncVideoCloud, Token, TokenStore
    from .emulator import Fault, FaultPlan, ThreadedEmulatorServer

__all__ = ["FaultControl", "iqiyi_cloud", "iqiyi_emulator", "iqiyi_faults"]

MARKERS = (
    "iqiyi_emulator(**options): options of the EmulatorConfig that the fixture `iqiyi_emulator` starts with.",
    "iqiyi_cloud(**options): options of the AsyncVideoCloud that the fixture `iqiyi_cloud` gives.",
    "iqiyi_faults(*faults, seed=0, **fault): faults for the emulator: Faults, dicts of fields, or one's fields.",
    "iqiyi_end_check(enabled=True, *, faults=True, uploads=True, violations=True): what is checked after the test.",
)
#: Small, so that a source of some hundred kilobytes is sent in several ranges.
CHUNK_SIZE = 64 * 1024
#: Retries of a suite need not spare anybody, in seconds.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.01, 0.2

_passed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option that turns the end check off for a whole suite."""
    text = "look, after each test that uses the emulator, for unfired faults, uploads left half open and violations"
    parser.addini("iqiyi_end_check", text, type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, for `--strict-markers` and `pytest --markers`."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker whose fixture the test does not use would do nothing, and look as if it did."""
    names = cast("list[str]", getattr(item, "fixturenames", []))
    for marker, fixture in (("iqiyi_faults", "iqiyi_emulator"), ("iqiyi_cloud", "iqiyi_cloud")):
        if item.get_closest_marker(marker) is not None and fixture not in names:
            pytest.fail(
                f"the marker {marker} does nothing without the fixture {fixture}: add it to the test's parameters",
                False,
            )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Remember whether the test itself passed: after a failure the end check would only repeat what is known."""
    # The older kind of wrapper: pluggy before 1.2 knows no other, and would stop every run of pytest.
    report = cast("pytest.TestReport", (yield).get_result())
    if report.when == "call":
        item.stash[_passed] = report.passed


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine that uses the fixtures and that no other plugin runs.

    The plugins that do run it come first (anyio's hook), or put a plain function in its place (pytest-asyncio).
    """
    function = cast("Callable[..., Any]", pyfuncitem.obj)  # pyright: ignore[reportUnknownMemberType]
    names = frozenset(pyfuncitem.fixturenames)
    if not inspect.iscoroutinefunction(function) or names.isdisjoint(__all__):
        return None
    if any(pyfuncitem.get_closest_marker(name) is not None for name in ("anyio", "asyncio", "trio")):
        return None
    import asyncio

    arguments = inspect.signature(function).parameters
    asyncio.run(function(**{name: pyfuncitem.funcargs[name] for name in arguments if name in pyfuncitem.funcargs}))
    return True


class FaultControl:
    """The faults of one test's emulator. Those of the marker `iqiyi_faults` are in it from the start."""

    def __init__(self, server: ThreadedEmulatorServer) -> None:
        self._server = server

    def add(self, *faults: Fault | dict[str, Any], seed: int | None = None, **fault: Any) -> None:
        """Add faults. Those that are there go on as they are; the calls of the new ones are counted from now on.

        Args:
            faults: each a Fault, or a dict of its fields.
            seed: for faults with a probability; as it was unless given.
            fault: the fields of one more fault.

        Raises:
            ValueError: a fault that means nothing; the text names the field.
        """
        from .emulator import Fault, FaultPlan

        listed = [*faults, *([fault] if fault else [])]
        more = [each if isinstance(each, Fault) else FaultPlan.from_value([each]).faults[0] for each in listed]
        self._server.use_faults(self._server.faults.extended(more, seed))

    def clear(self) -> None:
        """Take all faults out, those that have not fired too."""
        from .emulator import FaultPlan

        self._server.use_faults(FaultPlan())

    @property
    def plan(self) -> FaultPlan:
        """The plan in force, with the record of what has fired."""
        return self._server.faults


@pytest.fixture
def iqiyi_emulator(request: pytest.FixtureRequest) -> Iterator[ThreadedEmulatorServer]:
    """A fresh emulator of the service, on a loopback socket of its own, in a thread.

    A video is published as soon as it is finished, unless the marker `iqiyi_emulator(publish_after=...)` says
    otherwise. For a client of your own: `Endpoints.single(iqiyi_emulator.endpoint_url)`, with the key and the secret
    in `iqiyi_emulator.emulator.config`.
    """
    try:
        from .emulator import EmulatorConfig, ThreadedEmulatorServer
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    options: dict[str, Any] = {"publish_after": 0.0, **_merged(request, "iqiyi_emulator")}
    try:
        config = EmulatorConfig(**options)
    except (TypeError, ValueError) as error:
        pytest.fail(f"the marker iqiyi_emulator can't be used: {error}", pytrace=False)
    with ThreadedEmulatorServer(config) as server:
        _plan_of_markers(request, FaultControl(server))
        yield server
        problems = list(_problems(request, server))
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def iqiyi_faults(iqiyi_emulator: ThreadedEmulatorServer) -> FaultControl:
    """The faults of `iqiyi_emulator`: `iqiyi_faults.add(operation="finish_upload", call=1, lost_answer=True)`."""
    return FaultControl(iqiyi_emulator)


@pytest.fixture
def iqiyi_cloud(request: pytest.FixtureRequest, iqiyi_emulator: ThreadedEmulatorServer) -> AsyncVideoCloud:
    """An `AsyncVideoCloud` for `iqiyi_emulator`, to be used in one event loop, whichever runs the test.

    It closes when that loop does; `async with iqiyi_cloud:` closes it earlier. Chunks have 64 KiB and retries wait
    for hundredths of a second, unless the marker `iqiyi_cloud(options=..., retry=...)` says otherwise; the marker
    takes everything that the class does.
    """
    from . import AsyncVideoCloud, Endpoints, MemoryTokenStore, RetryPolicy, UploadOptions

    config = iqiyi_emulator.emulator.config
    options: dict[str, Any] = {
        "endpoints": Endpoints.single(iqiyi_emulator.endpoint_url),
        "options": UploadOptions(chunk_size=CHUNK_SIZE),
        "retry": RetryPolicy(initial_backoff=FIRST_BACKOFF, max_backoff=LONGEST_BACKOFF),
        **_merged(request, "iqiyi_cloud"),
    }
    store = options["token_store"] = _GuardedStore(options.get("token_store") or MemoryTokenStore())
    cloud = AsyncVideoCloud(config.app_key, config.app_secret, **options)
    store.close = cloud.aclose
    return cloud


class _GuardedStore:
    """A token store that closes the client together with the event loop that used it, also with a plugin's own loop.

    Loops finish the asynchronous generators that were begun in them before they close. One is begun when the client
    looks for its token, which is the first thing that it awaits.
    """

    close: Callable[[], Awaitable[None]]

    def __init__(self, inner: TokenStore) -> None:
        self._inner = inner
        self._generator: AsyncGenerator[None, None] | None = None

    async def load(self, key: str) -> Any:
        """As the store inside."""
        if self._generator is None:
            self._generator = self._closing_at_the_end()
            await anext(self._generator)
        return await self._inner.load(key)

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> Any:
        """As the store inside."""
        return await self._inner.compare_and_set(key, expected, token)

    def lease(self, key: str, *, ttl: float) -> AbstractAsyncContextManager[None]:
        """As the store inside."""
        return self._inner.lease(key, ttl=ttl)

    async def _closing_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.close()


def _marks(request: pytest.FixtureRequest, name: str) -> list[pytest.Mark]:
    """All markers of a name, the one closest to the test last."""
    return list(_node(request).iter_markers(name))[::-1]


def _node(request: pytest.FixtureRequest) -> pytest.Item:
    return cast("pytest.Item", request.node)  # pyright: ignore[reportUnknownMemberType]


def _merged(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """The options of all markers of a name; the one closest to the test counts."""
    return {name: value for mark in _marks(request, marker) for name, value in mark.kwargs.items()}


def _plan_of_markers(request: pytest.FixtureRequest, control: FaultControl) -> None:
    for mark in _marks(request, "iqiyi_faults"):
        try:
            control.add(*mark.args, **mark.kwargs)
        except ValueError as error:
            pytest.fail(f"the marker iqiyi_faults can't be used: {error}", pytrace=False)


def _problems(request: pytest.FixtureRequest, server: ThreadedEmulatorServer) -> Iterator[str]:
    """What the end check finds, each with what to do about it."""
    node = _node(request)
    if not node.stash.get(_passed, False) or not request.config.getini("iqiyi_end_check"):
        return
    mark = node.get_closest_marker("iqiyi_end_check")
    chosen = {"faults": True, "uploads": True, "violations": True, **(mark.kwargs if mark else {})}
    if mark is not None and not all(mark.args):
        return
    if chosen["faults"]:
        for fault in server.faults.unfired():
            made = sum(fault.touches(exchange.operation) for exchange in server.history)
            yield (
                f"a planned fault never fired, or not as often as planned: {fault.to_dict()}; the test made {made}"
                " such call(s). Take the fault out or make the calls that it is for, or mark the test with"
                " @pytest.mark.iqiyi_end_check(faults=False)."
            )
    if chosen["uploads"]:
        for view in server.open_uploads():
            yield (
                f"an upload was left half open: {view.file_id}, {view.accepted} of {view.size} bytes. Finish or cancel"
                " it (UploadOptions(on_failure='cancel') does so by itself), or mark the test with"
                " @pytest.mark.iqiyi_end_check(uploads=False)."
            )
    if chosen["violations"]:
        for text in server.violations:
            yield (
                f"the service's contract was broken by {text}. Mend what sends it, or mark the test with"
                " @pytest.mark.iqiyi_end_check(violations=False)."
            )

"""What holds for every test: one backend, no environment, a loop that must not block, no task left behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

#: Time limits are pytest's; a deadline per example only makes a busy machine fail.
settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=3000)
settings.register_profile("mutants", settings.get_profile("quick"), max_examples=10, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

#: A task that was told to end needs a moment for it: the server's side of a request, a cancelled helper.
GRACE_SECONDS = 3.0

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_FOLDERS = ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library is for asyncio only: aiofiles is."""
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no proxies, and nothing of the user's own folders."""
    for name in os.environ:
        if name.startswith("IQIYI_") or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    for name in _FOLDERS:
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """A blocking call below the library's frames, on a thread that runs an event loop, fails the test."""
    if not _is_async(request.node):
        yield
        return
    with blockbuster_ctx("iqiyi_async"):
        yield


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[Any]:
    """Wrap a coroutine test, or what hypothesis calls of it, so that it ends only when its tasks have."""
    owner, name = (pyfuncitem.obj.hypothesis, "inner_test") if _by_hypothesis(pyfuncitem) else (pyfuncitem, "obj")
    function = getattr(owner, name)
    if not _is_async(pyfuncitem) or not inspect.iscoroutinefunction(function):
        return (yield)
    setattr(owner, name, leaving_no_task(function))
    try:
        return (yield)
    finally:
        setattr(owner, name, function)


def leaving_no_task(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A coroutine function that fails if tasks begun in it still run after it."""

    @functools.wraps(function)
    async def watched(*args: Any, **kwargs: Any) -> None:
        before = asyncio.all_tasks()
        await function(*args, **kwargs)
        if left := asyncio.all_tasks() - before:
            _, left = await asyncio.wait(left, timeout=GRACE_SECONDS)
        assert not left, f"the test left tasks behind: {left}"

    return watched


def _by_hypothesis(item: pytest.Function) -> bool:
    return hasattr(item.obj, "hypothesis")


def _is_async(item: pytest.Item) -> bool:
    return item.get_closest_marker("anyio") is not None

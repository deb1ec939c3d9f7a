"""One emulator for all commands, as it was before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from iqiyi_async.emulator import EmulatorConfig, FaultPlan, ThreadedEmulatorServer

from .program import APP_KEY, APP_SECRET


@pytest.fixture(scope="module")
def one_server() -> Iterator[ThreadedEmulatorServer]:
    config = EmulatorConfig(app_key=APP_KEY, app_secret=APP_SECRET, publish_after=0)
    with ThreadedEmulatorServer(config) as server:
        yield server


@pytest.fixture
def service(one_server: ThreadedEmulatorServer) -> ThreadedEmulatorServer:
    """The service, empty and without faults."""
    one_server.faults = FaultPlan()
    one_server.reset()
    return one_server


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """Makes files of random bytes."""

    def make(name: str = "holiday.mp4", size: int = 100_000) -> Path:
        path = tmp_path / name
        path.write_bytes(Random(name).randbytes(size))
        return path

    return make

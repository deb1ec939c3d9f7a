"""An emulator for batches, and ledgers of both kinds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from iqiyi_async.emulator import EmulatorConfig, FaultPlan, ThreadedEmulatorServer

from .postgres import Postgres, programs, running


@pytest.fixture(scope="session")
def one_service() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server:
        yield server


@pytest.fixture
def emulator(one_service: ThreadedEmulatorServer) -> ThreadedEmulatorServer:
    """An emulator without videos, tokens or faults, in a thread."""
    one_service.faults = FaultPlan()
    one_service.reset()
    return one_service


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of films of random bytes."""

    def make(count: int, size: int = 20_000) -> Path:
        folder = tmp_path / "films"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            (folder / f"film {number:03}.mp4").write_bytes(Random(number).randbytes(size))
        return folder

    return make


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL here")
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger of each kind. Batches of different tests have different names, or different files."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/spring.ledger"
    url: str = request.getfixturevalue("postgres").url
    return url


@pytest.fixture
def name() -> str:
    """A batch that no other test has."""
    return f"batch {uuid.uuid4().hex[:8]}"

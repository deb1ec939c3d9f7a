"""Several worker processes behind one port, killed without a warning while browsers upload."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, FaultPlan, ThreadedEmulatorServer

from ..engine.tools import content
from .tus import Tus

pytestmark = pytest.mark.anyio

SIZE = 1_500_000
HERE = Path(__file__).parent


class Workers:
    """Worker processes that share one listening socket."""

    def __init__(self, listener: socket.socket, environment: dict[str, str], log: Path) -> None:
        self._listener = listener
        self._environment = environment
        self._log = log
        self.processes: list[Process] = []

    async def start(self) -> Process:
        number = self._listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "worker_app:app", "--fd", str(number), "--no-access-log"]
        with self._log.open("ab") as log:
            process = await create_subprocess_exec(
                *command, cwd=HERE, env=self._environment, pass_fds=[number], stdin=DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    async def kill_one(self) -> None:
        victim = random.choice(self.processes)
        self.processes.remove(victim)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()

    async def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def workers(server: ThreadedEmulatorServer, folder: Path, count: int) -> AsyncIterator[tuple[Workers, Tus]]:
    listener = socket.create_server(("127.0.0.1", 0))
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": server.endpoint_url,
        "JOURNAL": str(folder / "uploads.db"),
        "FINISHED": str(folder / "finished"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    running = Workers(listener, environment, folder / "log")
    try:
        for _ in range(count):
            await running.start()
        async with Tus(f"http://127.0.0.1:{listener.getsockname()[1]}/uploads/") as tus:
            # Each request over a connection of its own, so that it may come to any worker.
            tus.http.headers["Connection"] = "close"
            yield running, tus
    except BaseException as problem:
        problem.add_note((folder / "log").read_text()[-5000:])
        raise
    finally:
        await running.stop()
        listener.close()


async def created(tus: Tus) -> str:
    while True:
        try:
            return await tus.new(SIZE)
        except httpx.TransportError:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kills", [pytest.param(20, id="20-kills")])
@pytest.mark.timeout(120)
async def test_killed_workers_lose_nothing_and_double_nothing(
    emulator: ThreadedEmulatorServer, tmp_path: Path, kills: int
) -> None:
    films = [number.to_bytes(4, "big") + content(SIZE - 4) for number in range(4)]
    # Slow enough that the kills fall into the uploads.
    emulator.use_faults(FaultPlan((Fault(operation="upload_chunk", probability=1.0, delay=0.1),)))
    async with workers(emulator, tmp_path, 2) as (running, tus):
        urls = [await created(tus) for _ in films]
        sending = [
            asyncio.create_task(tus.send_all(url, film, chunk=400_000, tries=400))
            for url, film in zip(urls, films, strict=True)
        ]
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.2, 0.7))
            await running.kill_one()
            await running.start()
        emulator.use_faults(FaultPlan(()))
        await asyncio.gather(*sending)
        finished = [each.file_id for each in emulator.files.values() if each.finished_at is not None]
        assert sorted(emulator.content(each) for each in finished) == sorted(films)
        told = {tuple(line.split()) for line in (tmp_path / "finished").read_text().splitlines()}
        assert {file_id for _, file_id in told} == set(finished)
        assert len(told) == len(films)
        assert emulator.violations == ()

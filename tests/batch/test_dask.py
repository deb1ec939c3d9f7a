"""Runners on a real Dask cluster of several worker processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import iqiyi_async
from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

pytest.importorskip("distributed")

pytestmark = pytest.mark.timeout(120)
Films = Callable[..., Path]

#: A program of its own: Dask's warnings and processes are no matter of this suite.
PROGRAM = """
import asyncio, json, os, signal, sys, threading, time

from distributed import Client, LocalCluster
from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.integrations.dask import run_batch


async def add(ledger, root):
    async with Batch(None, ledger, name="spring", root=root) as batch:
        await batch.add(Manifest.read(root))


def runners(dask_worker):
    return os.getpid()


async def asynchronous(address, ledger, root, how):
    async with Client(address, asynchronous=True) as client:
        return await run_batch(client, ledger=ledger, name="spring", root=root, **how)


def main(ledger, root, deed):
    asyncio.run(add(ledger, root))
    how = dict(workers=2, concurrency=2, lease_seconds=2.0)
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            pids = client.run(os.getpid)
            if deed == "asynchronous":
                status = asyncio.run(asynchronous(cluster.scheduler_address, ledger, root, how))
                print(json.dumps({"uploaded": status.uploaded, "held": status.held, "waiting": status.waiting}))
                return

            def disturb():
                time.sleep(2.0)
                if deed == "kill":
                    for pid in list(pids.values())[:2]:
                        os.kill(pid, signal.SIGKILL)
                elif deed == "close":
                    client.retire_workers(list(pids)[:1])
                elif deed == "stop":
                    async def stop():
                        async with Batch(None, ledger, name="spring") as batch:
                            await batch.stop()
                    asyncio.run(stop())

            threading.Thread(target=disturb, daemon=True).start()
            status = run_batch(client, ledger=ledger, name="spring", root=root, **how)
            print(json.dumps({"uploaded": status.uploaded, "held": status.held, "waiting": status.waiting}))


if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def run_on_dask(service: ThreadedEmulatorServer, ledger: str, root: Path, deed: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": service.endpoint_url,
        "PYTHONPATH": str(Path(iqiyi_async.__file__).parents[1]),
    }
    program = root.parent / "program.py"
    program.write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program), ledger, str(root), deed],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("deed", ["none", "asynchronous", "kill", "close"])
def test_the_workers_of_a_cluster_share_a_batch(
    emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path, deed: str
) -> None:
    root = films(60 if deed in ("none", "asynchronous") else 200, size=200_000)
    found = run_on_dask(emulator, f"sqlite:///{tmp_path}/spring.ledger", root, deed)
    assert found == {"uploaded": len(list(root.iterdir())), "held": 0, "waiting": 0}
    assert len(emulator.published()) == found["uploaded"]


def test_stopping_goes_through_the_ledger(emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path) -> None:
    root = films(300, size=200_000)
    found = run_on_dask(emulator, f"sqlite:///{tmp_path}/spring.ledger", root, "stop")
    assert found["held"] == 0
    assert found["waiting"] > 0
    assert found["uploaded"] + found["waiting"] == 300


def test_the_command_line_with_scheduler_and_workers_as_processes(
    emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path
) -> None:
    films(20)
    elsewhere = tmp_path / "elsewhere"  # workers have current folders of their own
    elsewhere.mkdir()
    described = tmp_path / "scheduler.json"
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": emulator.endpoint_url,
        "PYTHONPATH": str(Path(iqiyi_async.__file__).parents[1]),
    }

    def start(module: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(described), *words],
            env=environment,
            cwd=elsewhere,
            stderr=subprocess.DEVNULL,
        )

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        deadline = time.monotonic() + 30
        while not described.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        processes += [start("dask_worker", "--nthreads", "1", "--no-dashboard") for _ in range(2)]
        address = json.loads(described.read_text())["address"]
        words = ["batch", "run", "films", "--ledger", "sqlite:///spring.ledger", "--on-success", "move:done"]
        done = subprocess.run(
            [sys.executable, "-m", "iqiyi_async", *words, "--dask", address, "--workers", "2", "--json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["uploaded"], summary["waiting"]) == (20, 0)
    assert len(emulator.published()) == 20
    assert len(list((tmp_path / "done" / "films").iterdir())) == 20


#: A client that waits for its runners while the scheduler is killed and another one takes its address.
RESTARTED = """
import asyncio, json, sys

from distributed import Client
from iqiyi_async import VideoCloudError
from iqiyi_async.integrations.dask import run_batch


async def main(address, ledger, root, timeout):
    async with Client(address, asynchronous=True, timeout=timeout) as client:
        try:
            status = await run_batch(
                client, ledger=ledger, name="spring", root=root, workers=2, concurrency=2, lease_seconds=2.0,
                max_bandwidth="1MB",
            )
        except VideoCloudError as error:
            print(json.dumps({"error": str(error)}))
        else:
            print(json.dumps({"uploaded": status.uploaded, "held": status.held, "waiting": status.waiting}))


asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("again", [True, False])
def test_a_scheduler_that_is_restarted_gets_the_runners_again(
    emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path, again: bool
) -> None:
    root, url = films(30, size=200_000), f"sqlite:///{tmp_path}/spring.ledger"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": emulator.endpoint_url,
        "PYTHONPATH": str(Path(iqiyi_async.__file__).parents[1]),
    }

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def scheduler() -> subprocess.Popen[str]:
        host, port = address.split(":")
        return start("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard")

    def worker() -> subprocess.Popen[str]:
        return start("-m", "distributed.cli.dask_worker", f"tcp://{address}", "--no-dashboard", "--no-nanny")

    async def add() -> None:
        async with Batch(None, url, name="spring", root=root) as batch:
            await batch.add(Manifest.read(root))

    asyncio.run(add())
    processes = [scheduler(), worker()]
    try:
        client = start("-c", RESTARTED, f"tcp://{address}", url, str(root), "60s" if again else "20s")
        processes.append(client)
        deadline = time.monotonic() + 60
        while len(emulator.published()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        processes[0].kill()
        processes[0].wait(30)
        if again:
            processes += [scheduler(), worker()]
        out, _ = client.communicate(timeout=90)
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=30)
    found = json.loads(out)
    if again:
        assert found == {"uploaded": 30, "held": 0, "waiting": 0}
        assert len(emulator.published()) == 30
    else:
        assert "the Dask scheduler went away and did not come back" in found["error"]
